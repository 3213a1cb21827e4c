//! Which CPUs the shards, the hub and the delivery core get.

use super::{CpuList, PlanError, Wishes};
use crate::limits::HUB_BESIDE_DELIVERY_CPUS_MIN;

/// The CPUs of a plan, before shards are dealt out to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// At least one, in rising order.
    pub shard_cpus: Vec<usize>,
    pub hub_cpu: usize,
    pub delivery_cpu: usize,
}

impl Placement {
    /// Chooses among `usable`, the CPUs that this process may run on.
    pub fn new(usable: &CpuList, wishes: &Wishes) -> Result<Self, PlanError> {
        let listed = wishes.cpus.as_ref().unwrap_or(usable);
        if let Some(&cpu) = listed.as_slice().iter().find(|&&cpu| !usable.contains(cpu)) {
            return Err(PlanError::CpuNotUsable { cpu, usable: usable.clone() });
        }
        let delivery_cpu = wishes.delivery_cpu.unwrap_or(listed.last());
        if !usable.contains(delivery_cpu) {
            return Err(PlanError::DeliveryCpuNotUsable { cpu: delivery_cpu, usable: usable.clone() });
        }
        let mut shard_cpus: Vec<usize> = listed.as_slice().iter().copied().filter(|&cpu| cpu != delivery_cpu).collect();
        let cpus = shard_cpus.len() + 1;
        if shard_cpus.is_empty() {
            shard_cpus.push(delivery_cpu);
        }
        let hub_cpu = if cpus >= HUB_BESIDE_DELIVERY_CPUS_MIN { delivery_cpu } else { shard_cpus[0] };
        Ok(Self { shard_cpus, hub_cpu, delivery_cpu })
    }
}
