//! Reads the entries and the file system of an open directory through its descriptor.
//!
//! Invariants:
//! * No path is resolved, so the results are about the directory that was opened, even if it was moved since.
//! * A listing reads through a descriptor of its own, so two threads that list at once do not share a position.
//! * A symbolic link is treated as a link and never followed.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// Repeats a system call for as long as signals interrupt it.
pub(super) fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The name as a NUL-terminated string.
pub(super) fn c_name(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// The same directory once more, behind a descriptor that shares neither position nor lock with `directory`.
pub(super) fn reopen(directory: &File) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the borrowed descriptor is open during the call, and the name is a NUL-terminated constant.
    let fd = retry(|| unsafe { libc::openat(directory.as_raw_fd(), c".".as_ptr(), flags) })?;
    // SAFETY: `openat` has just returned this descriptor, so it is open and has no other owner.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The regular files in the directory with their lengths, in no order. Names that are not UTF-8 are left out.
pub(super) fn regular_files(directory: &File) -> io::Result<Vec<(String, u64)>> {
    let mut stream = Stream::open(directory)?;
    let mut files = Vec::new();
    while let Some(name) = stream.next()? {
        // All names of the engine are UTF-8, so this file is not the engine's.
        let Ok(text) = name.to_str() else { continue };
        match regular_length(directory, name) {
            Ok(Some(length)) => files.push((text.to_owned(), length)),
            Ok(None) => {}
            // The file was removed after the stream had returned its name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// The length of a regular file; `None` for anything else.
fn regular_length(directory: &File, name: &CStr) -> io::Result<Option<u64>> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the borrowed descriptor is open during the call, `name` is NUL-terminated, and `about` is writable memory
    // of the right type.
    retry(|| unsafe { libc::fstatat(directory.as_raw_fd(), name.as_ptr(), about.as_mut_ptr(), flags) })?;
    // SAFETY: `fstatat` has returned success, so it has filled the structure.
    let about = unsafe { about.assume_init() };
    Ok((about.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(about.st_size as u64))
}

/// The entries of a directory, one after the other.
struct Stream(*mut libc::DIR);

impl Stream {
    fn open(directory: &File) -> io::Result<Self> {
        let own = reopen(directory)?.into_raw_fd();
        // SAFETY: `own` is an open descriptor of a directory, which the stream owns from here on if the call succeeds.
        let stream = unsafe { libc::fdopendir(own) };
        if !stream.is_null() {
            return Ok(Self(stream));
        }
        let error = io::Error::last_os_error();
        // SAFETY: the call has failed, so this function still owns the descriptor and drops it once.
        drop(unsafe { OwnedFd::from_raw_fd(own) });
        Err(error)
    }

    /// The next name; it is valid until the next call.
    fn next(&mut self) -> io::Result<Option<&CStr>> {
        // `readdir` returns null at the end and for an error. Only the error number tells the two apart.
        clear_error_number();
        // SAFETY: the stream is open until `self` is dropped, and `&mut self` keeps other threads out.
        let entry = unsafe { libc::readdir(self.0) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
        }
        // SAFETY: `readdir` returned an entry whose name is NUL-terminated and stays as it is until the next call on
        // this stream, which needs `&mut self` and so ends the borrow.
        Ok(Some(unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream was opened by `open` and is closed only here.
        unsafe { libc::closedir(self.0) };
    }
}

fn clear_error_number() {
    #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "redox", target_os = "hurd"))]
    // SAFETY: the function returns the address of this thread's own error number.
    unsafe {
        *libc::__errno_location() = 0;
    }
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    // SAFETY: the function returns the address of this thread's own error number.
    unsafe {
        *libc::__error() = 0;
    }
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    // SAFETY: the function returns the address of this thread's own error number.
    unsafe {
        *libc::__errno() = 0;
    }
}

/// The file system that holds the directory, for messages.
pub(super) fn file_system(directory: &File) -> String {
    #[cfg(target_os = "linux")]
    {
        let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the borrowed descriptor is open during the call, and `about` is writable memory of the right type.
        if retry(|| unsafe { libc::fstatfs(directory.as_raw_fd(), about.as_mut_ptr()) }).is_ok() {
            // SAFETY: `fstatfs` has returned success, so it has filled the structure. The field's width differs between
            // systems; a type number has 32 bits.
            return name_of_type(unsafe { about.assume_init() }.f_type as u32);
        }
    }
    let _ = directory;
    "its file system".to_owned()
}

/// The name for a type number of Linux. The table has the file systems that may refuse locks, and the common ones.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the numbers are those of Linux"))]
fn name_of_type(number: u32) -> String {
    const NAMES: &[(u32, &str)] = &[
        (0x6969, "nfs"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb2"),
        (0x517b, "smb"),
        (0x6573_5546, "fuse"),
        (0x0102_1997, "9p"),
        (0x794c_7630, "overlay"),
        (0x00c3_6400, "ceph"),
        (0x0bd0_0bd0, "lustre"),
        (0x5346_414f, "afs"),
        (0x4750_4653, "gpfs"),
        (0x786f_4256, "vboxsf"),
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x2fc1_2fc1, "zfs"),
        (0xf2f5_2010, "f2fs"),
        (0x0102_1994, "tmpfs"),
        (0x4d44, "vfat"),
        (0x2011_bab0, "exfat"),
    ];
    match NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("the file system {name}"),
        None => format!("a file system of type {number:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_have_names_and_unknown_ones_a_number() {
        assert_eq!(name_of_type(0x6969), "the file system nfs");
        assert_eq!(name_of_type(0x6573_5546), "the file system fuse");
        assert_eq!(name_of_type(0x1234_5678), "a file system of type 0x12345678");
        let root = tempfile::tempdir().unwrap();
        assert!(file_system(&File::open(root.path()).unwrap()).contains("file system"));
    }

    #[test]
    fn two_listings_at_once_see_all_of_a_large_directory() {
        let root = tempfile::tempdir().unwrap();
        (0..3_000).for_each(|number| std::fs::write(root.path().join(format!("f{number}")), "").unwrap());
        let directory = File::open(root.path()).unwrap();
        std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| regular_files(&directory).unwrap().len()));
            threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 3_000));
        });
        assert!(regular_files(&File::open(root.path().join("f1")).unwrap()).is_err(), "no directory");
    }
}
