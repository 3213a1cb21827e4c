//! The plan: which thread runs on which CPU, how many sockets a shard holds, and what that costs at full load.
//!
//! ```text
//!   /proc, limits ──▶ Machine ──┐
//!                               ├──▶ Plan::new ──▶ shards and CPUs ──▶ the server starts its threads by it
//!   --shards --cpus … ▶ Wishes ─┘        │
//!                                        └──▶ memory, descriptors ──▶ printed at start
//! ```
//!
//! [`capacity`] is what `stentor plan` tells: what a load takes, from the costs that were measured on this machine
//! ([`calibration`]).
//!
//! [`Plan::new`] is pure: it reads neither clock nor kernel, so each rule of placement is pinned by a test.
//!
//! Invariants:
//! * Every CPU of a plan is one that this process may use.
//! * The process descriptors of all shards together, with a reserve, fit into RLIMIT_NOFILE.
//! * A shard never has more slots than the kernel would register for it.

pub mod calibration;
pub mod capacity;
mod cgroup;
mod cpu_list;
#[cfg(test)]
pub(crate) mod fake_root;
mod machine;
mod memory;
mod placement;

use crate::limits::{
    DESCRIPTORS_RESERVED, DESK_CONNECTIONS_MAX, DESK_CONNECTIONS_MIN, OWN_DESCRIPTORS_PER_SHARD, SHARD_SLOTS_MAX,
    SHARDS_MAX,
};
use std::fmt;

use indicatif::HumanCount;

pub use cgroup::{CgroupMemory, cpu_quota, memory_limit};
pub use cpu_list::{CpuList, CpuListError};
pub use machine::{Machine, MachineError, decline_huge_pages, raise_descriptor_limit};
pub use memory::{FIXED_BYTES, FirstLimit, MemoryPlan, Resource, fixed_bytes_per_shard};
pub use placement::Placement;

/// What was asked for on the command line or in `stentor.toml`. All absent: the machine decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub shards: Option<usize>,
    /// The CPUs for everything; the delivery CPU may lie outside.
    pub cpus: Option<CpuList>,
    pub delivery_cpu: Option<usize>,
}

/// Why no plan can be made. Each message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("0 shards can't hold a socket: ask for at least 1, or leave --shards out for one a CPU")]
    NoShards,
    #[error("{asked} shards are more than the {SHARDS_MAX} that one process runs: ask for fewer with --shards")]
    TooManyShards { asked: usize },
    #[error(
        "CPU {cpu} of --cpus is not among those that this process may use ({usable}): name one of them, or widen the \
         process's affinity (taskset, the container's cpuset)"
    )]
    CpuNotUsable { cpu: usize, usable: CpuList },
    #[error(
        "--delivery-cpu {cpu} is not among the CPUs that this process may use ({usable}): name one of them, or widen \
         the process's affinity (taskset, the container's cpuset)"
    )]
    DeliveryCpuNotUsable { cpu: usize, usable: CpuList },
    #[error(
        "{shards} shards need {needed} open files and RLIMIT_NOFILE allows {limit}: raise it (`ulimit -n {needed}`, or \
         LimitNOFILE= in the service's unit), or ask for fewer shards with --shards"
    )]
    TooFewDescriptors { shards: usize, needed: u64, limit: u64 },
}

/// One pinned executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlan {
    pub index: usize,
    pub cpu: usize,
}

/// Process descriptors at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorPlan {
    /// RLIMIT_NOFILE as it was read.
    pub limit: u64,
    /// All shards with all their desk connections, and the reserve.
    pub needed: u64,
    /// [`DESK_CONNECTIONS_MAX`], or less where all shards together would not fit.
    pub desk_connections_per_shard: u32,
}

/// Where everything runs and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub shards: Vec<ShardPlan>,
    pub hub_cpu: usize,
    pub delivery_cpu: usize,
    /// Direct descriptors of each shard's ring, and so the sockets that it holds.
    pub slots_per_shard: u32,
    pub descriptors: DescriptorPlan,
    pub memory: MemoryPlan,
}

impl Plan {
    /// Places shards, hub and delivery on the CPUs that `machine` has and `wishes` allow.
    pub fn new(machine: &Machine, wishes: &Wishes) -> Result<Self, PlanError> {
        let placement = Placement::new(&machine.cpus, wishes)?;
        let count = wishes.shards.unwrap_or(placement.shard_cpus.len());
        match count {
            0 => return Err(PlanError::NoShards),
            asked if asked > SHARDS_MAX => return Err(PlanError::TooManyShards { asked }),
            _ => {}
        }
        let descriptors = DescriptorPlan::new(count, machine.descriptors_max)?;
        let slots_per_shard = slots_per_shard(machine.descriptors_max);
        Ok(Self {
            shards: (0..count)
                .map(|index| ShardPlan { index, cpu: placement.shard_cpus[index % placement.shard_cpus.len()] })
                .collect(),
            hub_cpu: placement.hub_cpu,
            delivery_cpu: placement.delivery_cpu,
            slots_per_shard,
            descriptors,
            memory: MemoryPlan::new(machine, count, slots_per_shard),
        })
    }

    /// The same where every socket speaks TLS.
    pub fn secured(mut self) -> Self {
        self.memory = self.memory.secured(self.sockets_max());
        self
    }

    /// The sockets that all shards together have slots for.
    pub fn sockets_max(&self) -> u64 {
        self.shards.len() as u64 * u64::from(self.slots_per_shard)
    }

    /// What is printed at start, a line each.
    pub fn lines(&self) -> Vec<String> {
        let shards = self.shards.len();
        let shard_cpus = CpuList::of(self.shards.iter().map(|shard| shard.cpu)).expect("a plan has at least one shard");
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut lines = vec![
            format!(
                "threads   {shards} shard{} on CPU{} {shard_cpus}, hub on CPU {}, delivery on CPU {}",
                plural(shards),
                plural(shard_cpus.len()),
                self.hub_cpu,
                self.delivery_cpu
            ),
            format!(
                "sockets   {} ({} a shard), and {} connections a shard at the front desk; {} of {} open files at most",
                HumanCount(self.sockets_max()),
                HumanCount(self.slots_per_shard.into()),
                HumanCount(self.descriptors.desk_connections_per_shard.into()),
                HumanCount(self.descriptors.needed),
                HumanCount(self.descriptors.limit),
            ),
        ];
        lines.extend(self.memory.lines());
        lines
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl DescriptorPlan {
    fn new(shards: usize, limit: u64) -> Result<Self, PlanError> {
        let shards_count = shards as u64;
        let needed =
            |desk: u32| u64::from(DESCRIPTORS_RESERVED) + shards_count * u64::from(OWN_DESCRIPTORS_PER_SHARD + desk);
        if needed(DESK_CONNECTIONS_MIN) > limit {
            return Err(PlanError::TooFewDescriptors { shards, needed: needed(DESK_CONNECTIONS_MIN), limit });
        }
        let left_a_shard = (limit - needed(0)) / shards_count;
        let desk_connections_per_shard = left_a_shard.min(DESK_CONNECTIONS_MAX.into()) as u32;
        Ok(Self { limit, needed: needed(desk_connections_per_shard), desk_connections_per_shard })
    }
}

/// The kernel refuses a descriptor table larger than RLIMIT_NOFILE, or than its own bound.
pub fn slots_per_shard(descriptors_max: u64) -> u32 {
    descriptors_max.min(SHARD_SLOTS_MAX.into()) as u32
}

/// The shards that it takes to have a slot for each of `sockets`.
pub fn shards_for(sockets: u64, descriptors_max: u64) -> u64 {
    sockets.div_ceil(u64::from(slots_per_shard(descriptors_max)).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpus: &str, descriptors_max: u64) -> Machine {
        Machine {
            cpus: cpus.parse().expect(cpus),
            descriptors_max,
            memory_total_bytes: 24 << 30,
            memory_available_bytes: 23 << 30,
            tcp_mem_pages: Some([287_901, 383_868, 575_802]),
            page_bytes: 4096,
        }
    }

    fn plan(cpus: &str, wishes: Wishes) -> Plan {
        Plan::new(&machine(cpus, 20_000), &wishes).expect("a plan")
    }

    fn cpus_of(plan: &Plan) -> (Vec<usize>, usize, usize) {
        (plan.shards.iter().map(|shard| shard.cpu).collect(), plan.hub_cpu, plan.delivery_cpu)
    }

    fn asks(shards: Option<usize>, cpus: Option<&str>, delivery_cpu: Option<usize>) -> Wishes {
        Wishes { shards, cpus: cpus.map(|list| list.parse().expect(list)), delivery_cpu }
    }

    #[test]
    fn on_many_cpus_hub_and_delivery_share_the_last() {
        assert_eq!(cpus_of(&plan("0-7", Wishes::default())), ((0..7).collect(), 7, 7));
        assert_eq!(cpus_of(&plan("2,4,9", Wishes::default())), (vec![2, 4], 9, 9));
    }

    #[test]
    fn on_two_cpus_the_hub_sits_beside_shard_0() {
        assert_eq!(cpus_of(&plan("0-1", Wishes::default())), (vec![0], 0, 1));
        assert_eq!(cpus_of(&plan("0-7", asks(None, Some("3,5"), None))), (vec![3], 3, 5));
    }

    #[test]
    fn on_one_cpu_everything_shares_it() {
        assert_eq!(cpus_of(&plan("3", Wishes::default())), (vec![3], 3, 3));
    }

    #[test]
    fn more_shards_than_cpus_go_round_the_shard_cpus() {
        assert_eq!(cpus_of(&plan("0-2", asks(Some(5), None, None))), (vec![0, 1, 0, 1, 0], 2, 2));
        let twelve = plan("0-1", asks(Some(12), None, None));
        assert_eq!(cpus_of(&twelve), (vec![0; 12], 0, 1));
        assert_eq!(twelve.sockets_max(), 240_000);
        assert_eq!(twelve.shards[11].index, 11);
    }

    #[test]
    fn fewer_shards_than_cpus_leave_the_later_ones_alone() {
        assert_eq!(cpus_of(&plan("0-7", asks(Some(2), None, None))), (vec![0, 1], 7, 7));
    }

    #[test]
    fn the_delivery_cpu_is_kept_clear_of_shards() {
        assert_eq!(cpus_of(&plan("0-3", asks(None, None, Some(0)))), (vec![1, 2, 3], 0, 0));
        assert_eq!(cpus_of(&plan("0-7", asks(None, Some("0-3"), Some(7)))), (vec![0, 1, 2, 3], 7, 7));
        assert_eq!(cpus_of(&plan("0-1", asks(None, None, Some(0)))), (vec![1], 1, 0));
    }

    #[test]
    fn a_cpu_that_the_process_may_not_use_is_refused_with_those_it_may() {
        let machine = machine("0-1,4", 20_000);
        let message = Plan::new(&machine, &asks(None, Some("0,3"), None)).expect_err("CPU 3").to_string();
        assert!(message.contains("CPU 3") && message.contains("(0-1,4)"), "{message}");
        let message = Plan::new(&machine, &asks(None, None, Some(9))).expect_err("CPU 9").to_string();
        assert!(message.contains("--delivery-cpu 9") && message.contains("(0-1,4)"), "{message}");
    }

    #[test]
    fn no_shards_and_absurdly_many_are_refused() {
        let machine = machine("0-1", 20_000);
        assert_eq!(Plan::new(&machine, &asks(Some(0), None, None)), Err(PlanError::NoShards));
        let many = SHARDS_MAX + 1;
        assert_eq!(Plan::new(&machine, &asks(Some(many), None, None)), Err(PlanError::TooManyShards { asked: many }));
    }

    #[test]
    fn desks_shrink_until_all_shards_fit_into_the_limit() {
        for (shards, limit) in [(1, 600), (1, 1024), (12, 20_000), (19, 20_000), (64, 2_176), (256, 1 << 20)] {
            let plan = Plan::new(&machine("0-1", limit), &asks(Some(shards), None, None)).expect("a plan");
            let desk = plan.descriptors.desk_connections_per_shard;
            assert!(plan.descriptors.needed <= limit, "{shards} shards, {limit} files: {:?}", plan.descriptors);
            assert!((DESK_CONNECTIONS_MIN..=DESK_CONNECTIONS_MAX).contains(&desk), "{desk} at {shards} shards");
            let one_more_each = plan.descriptors.needed + shards as u64;
            assert!(desk == DESK_CONNECTIONS_MAX || one_more_each > limit, "{shards} shards waste descriptors");
        }
    }

    #[test]
    fn too_few_descriptors_are_refused_with_the_figure_that_would_do() {
        let error =
            Plan::new(&machine("0-1", 1024), &asks(Some(64), None, None)).expect_err("64 shards on 1,024 files");
        let PlanError::TooFewDescriptors { shards: 64, needed, limit: 1024 } = error else { panic!("{error:?}") };
        Plan::new(&machine("0-1", needed), &asks(Some(64), None, None)).expect("the figure that the error names");
        Plan::new(&machine("0-1", needed - 1), &asks(Some(64), None, None)).expect_err("one less");
    }

    #[test]
    fn slots_follow_the_limit_up_to_the_kernels_bound() {
        assert_eq!(slots_per_shard(20_000), 20_000);
        assert_eq!(slots_per_shard(u64::MAX), SHARD_SLOTS_MAX);
        assert_eq!(shards_for(200_000, 20_000), 10);
        assert_eq!(shards_for(200_001, 20_000), 11);
        assert_eq!(shards_for(0, 0), 1);
    }

    #[test]
    fn the_printout_is_a_few_lines_that_name_every_figure() {
        let text = plan("0-1", asks(Some(12), None, None)).to_string();
        assert!(text.lines().count() <= 6, "{text}");
        for figure in
            ["12 shards on CPU 0", "hub on CPU 0", "delivery on CPU 1", "240,000", "20,000 a shard", "18.31 GiB more"]
        {
            assert!(text.contains(figure), "{figure} is missing in\n{text}");
        }
    }
}
