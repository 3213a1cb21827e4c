//! Whether this machine can run the socket plane, and what to do where it can't.

use std::io;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};

use crate::limits::EXECUTOR_MEMLOCK_BYTES_MIN;

/// `IORING_SETUP_DEFER_TASKRUN` came with 6.1, and a multishot receive with 6.0.
pub const LEAST_KERNEL: (u32, u32) = (6, 1);

/// Why the socket plane can't run here. Each message is one sentence that ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    #[error("kernel {release} is too old for Stentor's io_uring socket plane: boot Linux {}.{} or newer", LEAST_KERNEL.0, LEAST_KERNEL.1)]
    Kernel { release: String },
    #[error("this kernel was built without io_uring (io_uring_setup: {source}): boot one with CONFIG_IO_URING=y")]
    Missing { source: io::Error },
    #[error(
        "io_uring is forbidden here (io_uring_setup: {source}): set `sysctl kernel.io_uring_disabled=0`, or, in a \
         container, run with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Forbidden { source: io::Error },
    #[error(
        "io_uring can't get the memory for its rings (io_uring_setup: {source}): raise `ulimit -l` (memlock) or free memory"
    )]
    Memory { source: io::Error },
    #[error(
        "RLIMIT_MEMLOCK is {} KiB and every thread's executor wants at least {} KiB: raise it (`ulimit -l {}`, LimitMEMLOCK= in the \
         service's unit, `--ulimit memlock=-1` for a container)",
        .limit_bytes / 1024, EXECUTOR_MEMLOCK_BYTES_MIN / 1024, EXECUTOR_MEMLOCK_BYTES_MIN / 1024
    )]
    LockedMemory { limit_bytes: u64 },
    #[error("io_uring can't be set up (io_uring_setup: {source}): `stentor doctor` tells what this machine lacks")]
    Other { source: io::Error },
    #[error("this kernel's io_uring lacks {operation}, which the socket plane needs: boot Linux {}.{} or newer", LEAST_KERNEL.0, LEAST_KERNEL.1)]
    Operation { operation: &'static str },
}

/// Checks kernel release, ring set-up flags and operations, by doing them.
pub fn probe() -> Result<(), Unsupported> {
    check_release(&rustix::system::uname().release().to_string_lossy())?;
    let ring: IoUring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8).map_err(classify)?;
    let mut operations = Probe::new();
    ring.submitter().register_probe(&mut operations).map_err(classify)?;
    for (code, operation) in [
        (opcode::Send::CODE, "send"),
        (opcode::SendMsg::CODE, "sendmsg"),
        (opcode::RecvMulti::CODE, "recv"),
        (opcode::PollAdd::CODE, "poll"),
        (opcode::Shutdown::CODE, "shutdown"),
        (opcode::AsyncCancel2::CODE, "cancel"),
        (opcode::Close::CODE, "close"),
    ] {
        if !operations.is_supported(code) {
            return Err(Unsupported::Operation { operation });
        }
    }
    Ok(())
}

/// Checks this process's soft RLIMIT_MEMLOCK, which counts here also for those who may lock any memory.
pub fn check_locked_memory() -> Result<(), Unsupported> {
    match getrlimit(Resource::Memlock).current {
        Some(limit_bytes) if limit_bytes < EXECUTOR_MEMLOCK_BYTES_MIN => Err(Unsupported::LockedMemory { limit_bytes }),
        _ => Ok(()),
    }
}

/// The release as `uname -r` prints it, such as `6.18.44-generic`.
pub fn check_release(release: &str) -> Result<(), Unsupported> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < LEAST_KERNEL {
        return Err(Unsupported::Kernel { release: release.to_owned() });
    }
    Ok(())
}

fn classify(source: io::Error) -> Unsupported {
    match source.raw_os_error() {
        Some(libc::ENOSYS) => Unsupported::Missing { source },
        Some(libc::EPERM | libc::EACCES) => Unsupported::Forbidden { source },
        Some(libc::ENOMEM) => Unsupported::Memory { source },
        _ => Unsupported::Other { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_below_the_least_kernel_are_refused_by_name() {
        for old in ["5.15.0-100-generic", "6.0.19", "2.6.78", "4.19", "garbage"] {
            let message = check_release(old).expect_err(old).to_string();
            assert!(message.contains(old) && message.contains("6.1"), "{message}");
        }
        for new in ["6.1.0-18-amd64", "6.18.44-fc", "7.0.0-rc1", "10.2"] {
            check_release(new).expect(new);
        }
    }

    #[test]
    fn this_machine_runs_the_socket_plane() {
        probe().expect("the tests need a kernel with io_uring");
    }
}
