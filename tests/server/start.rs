//! What a start sees to, and starts that can't succeed: one sentence that says what is wrong and how to mend it, and an exit code.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::data_dir::DataDir;
use crate::process::{STENTOR, Server};
use crate::wait::{SOON, until};

/// Runs a `serve` that is expected to end by itself.
pub fn serve(data_dir: &DataDir, flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(STENTOR);
    command.arg("--data-dir").arg(data_dir.path()).arg("serve").args(flags);
    prepare(&mut command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let pid = rustix::process::Pid::from_child(&child);
    // It says little enough to fit the pipes, so it may end before they are read.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("a server that can't start ends", SOON, || child.try_wait().expect("our own child"))
    }));
    if ended.is_err() {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    child.wait_with_output().expect("its output")
}

/// One line on stderr that holds every one of `told`, nothing on stdout, exit code 1.
pub fn assert_one_sentence(what: &str, output: &Output, told: &[&str]) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{what}: {words}");
    assert_eq!(words.lines().count(), 1, "{what}: {words}");
    assert!(words.starts_with("stentor: ") && !words.contains(". "), "{what}: {words}");
    for part in told {
        assert!(words.contains(part), "{what} should tell {part:?}: {words}");
    }
    assert!(output.stdout.is_empty(), "{what}: {output:?}");
}

#[test]
fn no_event_waits_for_a_huge_page() {
    let server = Server::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    // Linux 5.0 and later; where a kernel has no huge pages, it says 0 as well.
    assert!(status.lines().any(|line| line == "THP_enabled:\t0"), "{status}");
}

#[test]
fn a_taken_port_is_told_with_the_flag_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = serve(&DataDir::new(), &["--listen", &address], |_| {});
    assert_one_sentence("a taken port", &output, &[&address, "taken", "--listen"]);
}

#[test]
fn a_port_that_another_stentor_serves_is_not_shared() {
    let server = Server::start();
    let address = server.address.to_string();
    let output = serve(&DataDir::new(), &["--listen", &address], |_| {});
    assert_one_sentence("another Stentor's port", &output, &[&address, "taken", "--listen"]);
}

#[test]
fn an_address_of_another_machine_is_told() {
    let output = serve(&DataDir::new(), &["--listen", "192.0.2.1:5001"], |_| {});
    assert_one_sentence("a foreign address", &output, &["192.0.2.1:5001", "--listen"]);
}

#[test]
fn a_data_directory_in_use_is_told() {
    let server = Server::start();
    let output = serve(&server.data_dir, &["--listen", "127.0.0.1:0"], |_| {});
    let path = server.data_dir.path().to_string_lossy().into_owned();
    assert_one_sentence("a second server", &output, &[&path, "another Stentor", "--data-dir"]);
    server.connect();
}

#[test]
fn a_data_directory_that_can_t_be_used_is_told() {
    let data_dir = DataDir::new();
    let file = data_dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = file.join("data").to_string_lossy().into_owned();
    let output = serve(&data_dir, &["--listen", "127.0.0.1:0", "--data-dir", &below], |_| {});
    assert_one_sentence("a directory below a file", &output, &[&below, "data directory", "--data-dir"]);

    let lock = data_dir.path().join("server.lock");
    std::fs::create_dir(&lock).expect("a directory");
    let output = serve(&data_dir, &["--listen", "127.0.0.1:0"], |_| {});
    assert_one_sentence("a lock that is no file", &output, &[&lock.to_string_lossy(), "lock", "--data-dir"]);
}

#[test]
fn a_cpu_that_is_not_there_is_told() {
    // The last one that Linux can pin a thread to; what lies past it is wrong usage.
    for flags in [["--cpus", "1023"], ["--delivery-cpu", "1023"]] {
        let output = serve(&DataDir::new(), &["--listen", "127.0.0.1:0", flags[0], flags[1]], |_| {});
        assert_one_sentence("an unknown CPU", &output, &["1023", flags[0]]);
    }
}

#[test]
fn an_old_kernel_is_told_with_the_one_that_is_needed() {
    let output = serve(&DataDir::new(), &["--listen", "127.0.0.1:0"], |command| {
        // SAFETY: one system call, which touches this process only.
        unsafe { command.pre_exec(report_linux_2_6) };
    });
    assert_one_sentence("an old kernel", &output, &["2.6", "Linux 6.1"]);
}

#[test]
fn io_uring_that_is_forbidden_or_missing_is_told() {
    for (errno, told) in
        [(libc::EPERM, ["forbidden", "io_uring_disabled"]), (libc::ENOSYS, ["without io_uring", "CONFIG_IO_URING"])]
    {
        let output = serve(&DataDir::new(), &["--listen", "127.0.0.1:0"], |command| {
            // SAFETY: two system calls on memory of the closure's own, between fork and exec.
            unsafe { command.pre_exec(move || refuse_io_uring(ANY_ENTRIES, errno)) };
        });
        assert_one_sentence("no io_uring", &output, &told);
    }
}

#[test]
fn an_executor_that_can_t_be_made_is_told_with_its_own_error() {
    let entries = stentor::limits::EXECUTOR_RING_ENTRIES as u32;
    let output = serve(&DataDir::new(), &["--listen", "127.0.0.1:0"], |command| {
        // SAFETY: two system calls on memory of the closure's own, between fork and exec.
        unsafe { command.pre_exec(move || refuse_io_uring(entries, libc::ENOMEM)) };
    });
    // Whichever thread is the first to make one.
    assert_one_sentence("no executor", &output, &["thread ", "executor", "Cannot allocate memory", "stentor doctor"]);
}

#[test]
fn too_little_locked_memory_is_told_with_what_is_needed() {
    let output = serve(&DataDir::new(), &["--listen", "127.0.0.1:0"], |command| {
        // SAFETY: one system call, which touches this process only.
        unsafe { command.pre_exec(|| limit_locked_memory(64 << 10)) };
    });
    assert_one_sentence("a low memlock limit", &output, &["64 KiB", "512 KiB", "ulimit -l", "LimitMEMLOCK="]);
}

#[test]
fn a_signal_ends_a_start_that_takes_long() {
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let data_dir = DataDir::new();
        data_dir.account("alice", "elite");
        // The start waits some seconds for whoever holds the database, then gives up.
        let holder = rusqlite::Connection::open(data_dir.path().join("accounts.db")).expect("the database");
        holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE held (a)").expect("held");
        let mut command = Command::new(STENTOR);
        command.arg("--data-dir").arg(data_dir.path()).args(["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        until("it catches signals", SOON, || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
            let both = (1 << (15 - 1)) | (1 << (2 - 1));
            (u64::from_str_radix(caught.trim(), 16).expect("a mask") & both == both).then_some(())
        });
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).expect("a signal to our own child");
        let status = until("its end", SOON, || child.try_wait().expect("our own child"));
        assert_eq!(status.code(), Some(code), "{status}: it gave up instead where that is 1, and ran where it is 0");
        drop(holder);
    }
}

#[test]
fn wrong_usage_is_another_exit_code() {
    for flags in
        [["--listen", "nonsense"], ["--shards", "many"], ["--cpus", "a-b"], ["--cpus", "1024"], ["--no-such-flag", "x"]]
    {
        let output = serve(&DataDir::new(), &flags, |_| {});
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {words}");
        assert!(words.contains(flags[0]), "{flags:?}: {words}");
    }
}

/// What `setarch --uname-2.6` does: uname(2) then tells a release of 2.6.
fn report_linux_2_6() -> io::Result<()> {
    // SAFETY: personality(2) reads its one argument by value.
    match unsafe { libc::personality(libc::UNAME26 as libc::c_ulong) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What `ulimit -l` does.
fn limit_locked_memory(bytes: u64) -> io::Result<()> {
    let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
    Ok(rustix::process::setrlimit(rustix::process::Resource::Memlock, limit)?)
}

/// For [`refuse_io_uring`]: rings of whatever size.
const ANY_ENTRIES: u32 = 0;

/// A seccomp filter that answers io_uring_setup(2) with `errno`, where that many entries are asked for, and lets everything
/// else through, as containers do.
fn refuse_io_uring(entries: u32, errno: i32) -> io::Result<()> {
    // The fields of `struct seccomp_data`: the number, and the low half of the first argument (at its front, little-endian).
    const SYSTEM_CALL_NUMBER_OFFSET: u32 = 0;
    const ARGUMENT_0_OFFSET: u32 = 16;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless = |compare: u32, k: u32, jf: u8| libc::sock_filter {
        code: (libc::BPF_JMP | compare | libc::BPF_K) as u16,
        jt: 0,
        jf,
        k,
    };
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, SYSTEM_CALL_NUMBER_OFFSET),
        unless(libc::BPF_JEQ, libc::SYS_io_uring_setup as u32, 3),
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, ARGUMENT_0_OFFSET),
        unless(if entries == ANY_ENTRIES { libc::BPF_JGE } else { libc::BPF_JEQ }, entries, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it; both calls touch this process only.
    let outcome = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
            0 => libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program),
            failed => failed,
        }
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
