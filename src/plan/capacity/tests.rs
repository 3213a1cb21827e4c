use super::super::CpuList;
use super::super::calibration::tests::example;
use super::*;

fn machine(cpus: &str) -> Machine {
    Machine {
        cpus: cpus.parse().expect(cpus),
        descriptors_max: 20_000,
        memory_total_bytes: 24 << 30,
        memory_available_bytes: 23 << 30,
        tcp_mem_pages: Some([287_901, 383_868, 575_802]),
        page_bytes: 4096,
    }
}

fn demand(sockets: u64, events_per_second: f64) -> Demand {
    Demand { sockets, events_per_second, payload_bytes: 250, events_per_request: 1, shards: None }
}

fn capacity(cpus: &str, demand: Demand) -> Capacity {
    Capacity::new(&example(), &machine(cpus), demand).expect("a capacity")
}

fn near(figure: f64, wanted: f64) {
    assert!((figure - wanted).abs() <= wanted.abs() * 1e-6, "{figure} is not {wanted}");
}

#[test]
fn cpu_time_is_the_sum_of_timers_heartbeats_requests_and_sends() {
    let here = capacity("0-1", demand(4_000, 10.0)).here;
    // 2 ms of timers, 0.4 µs a socket of heartbeats, 10 requests of 0.2 ms, 40,000 sends of 5 µs.
    near(here.cpu_seconds_per_second.shard, 0.002 + 0.0016 + 0.002 + 0.2);
    near(here.cpu_seconds_per_second.hub, 0.001 + 0.001);
    // The hub is on the same CPU.
    near(here.shard_cpu_busy, 0.2056 + 0.002);
    near(here.publish_cpu_busy.expect("two CPUs"), 0.002 + 0.002);
    assert_eq!(here.regime, Regime::AtOnce);
    near(here.full_fan_out_us.expect("it keeps up"), 200.0 + 4_000.0 * 5.5);
    near(here.sends_per_second, 40_000.0);
}

#[test]
fn a_send_costs_more_with_more_sockets_up_to_where_all_comes_from_memory() {
    let send_ns = |sockets: f64| {
        let calibration = example();
        Model { calibration: &calibration, demand: demand(1, 1.0) }.send_ns(sockets, 0.0)
    };
    near(send_ns(10.0), 4_000.0);
    near(send_ns(1_000.0), 4_000.0);
    near(send_ns(2_000.0), 4_500.0);
    near(send_ns(4_000.0), 5_000.0);
    near(send_ns(16_000.0), 6_000.0);
    near(send_ns(1e9), 10_000.0);
}

#[test]
fn after_a_pause_each_send_is_acknowledged_at_once() {
    let at = |events_per_second| capacity("0-1", demand(4_000, events_per_second)).here;
    let (close, apart) = (at(5.0), at(4.0));
    near(close.cpu_seconds_per_second.shard, 0.002 + 0.0016 + 0.001 + 5.0 * 4_000.0 * 5e-6);
    near(apart.cpu_seconds_per_second.shard, 0.002 + 0.0016 + 0.0008 + 4.0 * 4_000.0 * 6.5e-6);
    near(apart.full_fan_out_us.expect("it keeps up"), 200.0 + 4_000.0 * 7.1);
}

#[test]
fn longer_events_cost_by_the_byte_and_bursts_by_the_event() {
    let model_of = |demand| capacity("0-1", demand).here.cpu_seconds_per_second.shard;
    let long = model_of(Demand { payload_bytes: 1_250, ..demand(4_000, 10.0) });
    near(long - model_of(demand(4_000, 10.0)), 40_000.0 * 1_000.0 * 0.2e-9);
    let burst = model_of(Demand { events_per_request: 10, ..demand(4_000, 100.0) });
    // 10 requests a second as before, with 9 events more in each: 2 µs as such, and 40 ns in each send.
    near(burst - model_of(demand(4_000, 10.0)), 10.0 * 9.0 * (2e-6 + 4_000.0 * 40e-9));
}

#[test]
fn past_saturation_sends_coalesce_and_an_event_waits_for_a_pass() {
    let here = capacity("0-1", demand(10_000, 200.0)).here;
    assert!(here.shard_cpu_busy > 10.0, "{here:?}");
    let Regime::Coalesced { events_per_send, pass_us } = here.regime else { panic!("{here:?}") };
    near(events_per_send, 200.0 * pass_us / 1e6);
    // What a pass takes is what its time allows.
    let send = 4_000.0 + 1_000.0 * 10.0_f64.ln() / 4.0_f64.ln();
    let (request, fixed) = (200.0 * 200e-6, 0.002 + 0.004 + 0.001 + 0.02);
    let work = 10_000.0 * (send + (events_per_send - 1.0) * 40.0) * 1e-9;
    near(pass_us / 1e6 * (1.0 - request - fixed), work);
    near(here.full_fan_out_us.expect("it keeps up"), 200.0 + pass_us);
    assert!(here.sends_per_second < 200_000.0, "{here:?}");
}

#[test]
fn a_rate_that_not_even_coalescing_keeps_up_with_is_told() {
    let here = capacity("0-1", demand(10_000, 4_000.0)).here;
    assert_eq!((here.regime, here.full_fan_out_us), (Regime::Overrun, None));
}

#[test]
fn the_cpus_needed_are_the_fewest_on_which_none_is_too_busy() {
    assert_eq!(capacity("0-1", demand(1_000, 1.0)).needs, Some(Needs { cpus: 1, shards: 1 }));
    let needs = capacity("0-1", demand(200_000, 10.0)).needs.expect("some number");
    let busy = |cpus: u64| capacity(&format!("0-{}", cpus - 1), demand(200_000, 10.0)).here.shard_cpu_busy;
    assert!(busy(needs.cpus) <= PLANNED_BUSY_MAX && busy(needs.cpus - 1) > PLANNED_BUSY_MAX, "{needs:?}");
    assert_eq!(capacity("0-1", demand(1, 1e6)).needs, None);
}

#[test]
fn a_plan_lays_threads_out_as_the_server_does() {
    for cpus in 1..=8 {
        let placement = Placement::new(&CpuList::of(0..cpus).expect("CPUs"), &Wishes::default()).expect("a placement");
        for sockets in [1_000, 100_000] {
            let here = Layout::new(&placement, demand(sockets, 1.0), sockets, 20_000);
            let on = Layout::on(cpus as u64, sockets, 20_000);
            assert_eq!((on.shards, on.shard_cpus), (here.shards, here.shard_cpus), "{cpus} CPUs");
            let beside = |layout: Layout| (layout.hub_beside_shard, layout.rest_beside_shard);
            assert_eq!(beside(on), beside(here), "{cpus} CPUs");
        }
    }
}

#[test]
fn fewer_cpus_do_where_an_event_may_wait_for_a_pass() {
    let million = capacity("0-1", demand(1_000_000, 100.0));
    let (at_once, coalesced) = (million.needs.expect("many"), million.needs_coalesced.expect("some"));
    assert!(at_once.cpus > 500 && coalesced.cpus < 20, "{at_once:?}, {coalesced:?}");
    assert!(coalesced.pass_us > 1e6, "{coalesced:?}");
    assert_eq!(capacity("0-1", demand(1_000, 1.0)).needs_coalesced, None);
}

#[test]
fn what_runs_out_first_is_named_with_the_sockets_that_still_fit() {
    let limit = |machine: &Machine, demand| Capacity::new(&example(), machine, demand).expect("a capacity").first_limit;
    let cpu = limit(&machine("0-1"), demand(1_000, 10.0));
    assert_eq!(cpu.resource, Scarce::ShardCpu);
    let busy = |sockets| capacity("0-1", demand(sockets, 10.0)).here.shard_cpu_busy;
    assert!(busy(cpu.sockets) <= PLANNED_BUSY_MAX && busy(cpu.sockets + 1) > PLANNED_BUSY_MAX, "{cpu:?}");

    let one_shard = Demand { shards: Some(1), ..demand(1_000, 0.1) };
    assert_eq!(limit(&machine("0-1"), one_shard), FirstLimit { resource: Scarce::Slots, sockets: 20_000 });
    let tight = Machine { tcp_mem_pages: Some([1, 2, 5_000]), ..machine("0-7") };
    assert_eq!(limit(&tight, demand(1_000, 0.1)), FirstLimit { resource: Scarce::TcpMemory, sockets: 5_000 });
    let small = Machine { memory_available_bytes: 1 << 30, ..machine("0-63") };
    let memory = limit(&small, demand(1_000, 0.001));
    assert_eq!(memory.resource, Scarce::Memory);
    assert!((100_000..200_000).contains(&memory.sockets), "{memory:?}");
    let publish = limit(&machine("0-7"), demand(1, 10_000.0));
    assert_eq!(publish, FirstLimit { resource: Scarce::PublishCpu, sockets: 0 });
}

#[test]
fn a_machine_without_the_slots_is_told_so_and_is_no_error() {
    let poor = Machine { descriptors_max: 1_024, ..machine("0-1") };
    let capacity = Capacity::new(&example(), &poor, demand(1_000_000, 0.0001)).expect("a capacity");
    let needs = capacity.needs.expect("several servers' CPUs");
    let each_cpu_has_as_many = 1_000_000_u64.div_ceil(1_024).next_multiple_of(needs.cpus - 1);
    assert_eq!(needs.shards, each_cpu_has_as_many);
    let Descriptors { slots, needed, limit, .. } = capacity.descriptors;
    assert!(slots < 1_000_000 && needed <= limit, "{:?}", capacity.descriptors);
    assert_eq!(capacity.first_limit, FirstLimit { resource: Scarce::Slots, sockets: slots });
}

#[test]
fn memory_grows_by_the_socket_and_counts_one_end_of_a_connection() {
    let memory = capacity("0-1", demand(10_000, 1.0)).memory;
    assert_eq!((memory.server_bytes, memory.kernel_bytes), (26_000_000, 40_000_000));
    assert_eq!(memory.server_full_bytes, 4_000_000 + FIXED_BYTES + fixed_bytes_per_shard(20_000));
    assert_eq!(memory.tcp_queue_bytes, 10_000 * 4_096);
    let burst = Demand { events_per_request: 100, ..demand(10_000, 1.0) };
    assert_eq!(capacity("0-1", burst).memory.tcp_queue_bytes, 10_000 * 100 * 280 * 2);
}

#[test]
fn more_events_than_hub_and_journal_take_are_never_done_however_few_sockets_there_are() {
    let here = capacity("0-7", demand(1, 10_000.0)).here;
    assert!(here.publish_cpu_busy.is_some_and(|busy| busy > 1.0), "{here:?}");
    assert_eq!((here.regime, here.full_fan_out_us), (Regime::Overrun, None));
}

#[test]
fn the_wire_has_headers_for_each_segment() {
    let here = capacity("0-1", demand(1_000, 10.0)).here;
    near(here.wire_gbit_per_second, 10_000.0 * (280.0 + 90.0) * 8.0 / 1e9);
    let burst = capacity("0-1", Demand { events_per_request: 10, ..demand(1_000, 10.0) }).here;
    near(burst.wire_gbit_per_second, 1_000.0 * (2_800.0 + 2.0 * 90.0) * 8.0 / 1e9);
}

#[test]
fn shards_that_share_a_cpu_have_its_time_together() {
    let twelve = Demand { shards: Some(12), ..demand(12_000, 1.0) };
    let here = capacity("0-1", twelve).here;
    assert_eq!((here.shards, here.shard_cpus), (12, 1));
    near(here.shard_cpu_busy, here.cpu_seconds_per_second.shard + here.cpu_seconds_per_second.hub);
    assert!(Capacity::new(&example(), &machine("0-1"), Demand { shards: Some(0), ..twelve }).is_err());
}

#[test]
fn far_more_sockets_than_were_measured_are_told_to_be_extrapolated() {
    assert!(!capacity("0-1", demand(16_000, 1.0)).here.is_extrapolated);
    assert!(capacity("0-1", demand(16_001, 1.0)).here.is_extrapolated);
}
