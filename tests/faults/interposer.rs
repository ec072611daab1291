//! Loaded into foldline before the C library (`LD_PRELOAD`): counts the calls that change files and makes one of them
//! fail, fall short, or be the last thing that the process does. Compiled by the test itself.
//!
//! `FOLDLINE_FAULT` is `kind:n`, the n-th such call from 1:
//!
//! - `log:0`: nothing fails; the calls' names are appended to the file `FOLDLINE_FAULT_LOG`
//! - `kill:n`: the process is killed before the call
//! - `eio:n`: the call fails with EIO, once
//! - `enospc:n`: from this call on the device is full: whatever needs room fails with ENOSPC
//! - `short:n`: a write from this one on writes but a part of what it was given

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn getpid() -> c_int;
}

const NEXT: *mut c_void = -1isize as *mut c_void;
const CREATE: c_int = 0o100;
const EIO: c_int = 5;
const ENOSPC: c_int = 28;

struct Plan {
    kind: String,
    at: u64,
    log: Option<c_int>,
}

static CALLS: AtomicU64 = AtomicU64::new(0);

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let text = std::env::var("FOLDLINE_FAULT").unwrap_or_default();
        let (kind, at) = text.split_once(':').unwrap_or(("", "0"));
        let log = std::env::var("FOLDLINE_FAULT_LOG").ok().and_then(|path| {
            let path = std::ffi::CString::new(path).ok()?;
            let open: unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int = unsafe { next(c"open") };
            // O_WRONLY | O_CREAT | O_APPEND
            Some(unsafe { open(path.as_ptr(), 0o1 | CREATE | 0o2000, 0o644) })
        });
        Plan { kind: kind.to_string(), at: at.parse().unwrap_or(0), log }
    })
}

/// The C library's own function.
unsafe fn next<F: Copy>(name: &CStr) -> F {
    let address = unsafe { dlsym(NEXT, name.as_ptr()) };
    unsafe { std::mem::transmute_copy(&address) }
}

enum Fate {
    Pass,
    Fail,
    Short,
}

/// What becomes of this call. `room`: it takes room on the device.
fn fate(name: &CStr, room: bool) -> Fate {
    let plan = plan();
    let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(log) = plan.log {
        let line = [name.to_bytes(), b"\n"].concat();
        let write: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize = unsafe { next(c"write") };
        unsafe { write(log, line.as_ptr().cast(), line.len()) };
    }
    let errno = match plan.kind.as_str() {
        "kill" if number == plan.at => {
            unsafe { kill(getpid(), 9) };
            return Fate::Pass;
        }
        "eio" if number == plan.at => EIO,
        "enospc" if number >= plan.at && room => ENOSPC,
        "short" if number >= plan.at => return Fate::Short,
        _ => return Fate::Pass,
    };
    unsafe { *__errno_location() = errno };
    Fate::Fail
}

/// Whether a descriptor is a file's: pipes and terminals cannot be sought in.
fn is_file(fd: c_int) -> bool {
    let errno = unsafe { *__errno_location() };
    let is = fd > 2 && unsafe { lseek(fd, 0, 1) } >= 0;
    unsafe { *__errno_location() = errno };
    is
}

/// As much as a write that falls short takes.
fn short(fate: &Fate, len: usize) -> usize {
    if matches!(fate, Fate::Short) && len > 1 { len / 2 } else { len }
}

macro_rules! interpose {
    ($($symbol:ident($($arg:ident: $ty:ty),*) -> $result:ty, $name:literal, $counts:expr, $room:literal, $failed:literal;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol($($arg: $ty),*) -> $result {
            let real: unsafe extern "C" fn($($ty),*) -> $result = unsafe { next($name) };
            if $counts && matches!(fate($name, $room), Fate::Fail) {
                return $failed;
            }
            unsafe { real($($arg),*) }
        }
    )*};
}

// the mode of `open` is passed where a third argument is, whether it is there or not: so it is in the conventions of
// Linux on x86-64 and on ARM
interpose! {
    open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, c"open", flags & CREATE != 0, true, -1;
    open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, c"open64", flags & CREATE != 0, true, -1;
    openat(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int, c"openat", flags & CREATE != 0, true, -1;
    openat64(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int, c"openat64", flags & CREATE != 0, true, -1;
    fsync(fd: c_int) -> c_int, c"fsync", true, false, -1;
    fdatasync(fd: c_int) -> c_int, c"fdatasync", true, false, -1;
    ftruncate(fd: c_int, len: i64) -> c_int, c"ftruncate", true, true, -1;
    ftruncate64(fd: c_int, len: i64) -> c_int, c"ftruncate64", true, true, -1;
    rename(from: *const c_char, to: *const c_char) -> c_int, c"rename", true, true, -1;
    link(from: *const c_char, to: *const c_char) -> c_int, c"link", true, true, -1;
    linkat(a: c_int, from: *const c_char, b: c_int, to: *const c_char, flags: c_int) -> c_int, c"linkat", true, true, -1;
    symlink(from: *const c_char, to: *const c_char) -> c_int, c"symlink", true, true, -1;
    mkdir(path: *const c_char, mode: c_uint) -> c_int, c"mkdir", true, true, -1;
    unlink(path: *const c_char) -> c_int, c"unlink", true, false, -1;
    unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int, c"unlinkat", true, false, -1;
    rmdir(path: *const c_char) -> c_int, c"rmdir", true, false, -1;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize {
    let real: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize = unsafe { next(c"write") };
    let fate = if is_file(fd) { fate(c"write", true) } else { Fate::Pass };
    if matches!(fate, Fate::Fail) {
        return -1;
    }
    unsafe { real(fd, bytes, short(&fate, len)) }
}

macro_rules! pwrite {
    ($($symbol:ident, $name:literal;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $symbol(fd: c_int, bytes: *const c_void, len: usize, offset: i64) -> isize {
            let real: unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize = unsafe { next($name) };
            let fate = fate($name, true);
            if matches!(fate, Fate::Fail) {
                return -1;
            }
            unsafe { real(fd, bytes, short(&fate, len), offset) }
        }
    )*};
}

pwrite! {
    pwrite, c"pwrite";
    pwrite64, c"pwrite64";
}
