//! Reads files, for all of Sidegate: regular files and what links lead to, up to a size. A pipe, a
//! socket, a device or a folder is an error at once, so no read waits for another process.

use std::fs::{FileType, Metadata, OpenOptions, metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The longest file with PEM that a listener names or the system has, in bytes: lists of revoked
/// certificates are long.
pub const MAX_PEM_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a whole file of at most `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // To open a device can have an effect of its own.
    only_regular(&metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    // The name may lead to something else by now.
    only_regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {} MiB", limit / 1024 / 1024),
        )),
        false => Ok(bytes),
    }
}

fn only_regular(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (error, what) = if kind.is_dir() {
        (io::ErrorKind::IsADirectory, "a folder")
    } else {
        (io::ErrorKind::InvalidInput, special(kind))
    };
    Err(io::Error::new(
        error,
        format!("it is {what}, and only regular files are read"),
    ))
}

fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::document::environment::fix;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(at("file"), "text").unwrap();
        create_dir(at("folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (target, link) in [
            ("file", "link"),
            ("pipe", "to-pipe"),
            ("/dev/zero", "to-device"),
            ("gone", "dangling"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        for (name, want) in [
            ("file", "text"),
            ("link", "text"),
            ("folder", "it is a folder, and only regular files are read"),
            ("pipe", "it is a pipe, and only regular files are read"),
            ("to-pipe", "it is a pipe, and only regular files are read"),
            ("socket", "it is a socket, and only regular files are read"),
            ("to-device", "it is a device, and only regular files are read"),
            ("dangling", "No such file or directory (os error 2)"),
        ] {
            let read = read_file(&at(name), 100).map(|bytes| String::from_utf8(bytes).unwrap());
            let is_other = want.starts_with("it is");
            let help = read.as_ref().err().and_then(fix);
            assert_eq!(help, is_other.then_some("name a regular file"), "{name}");
            assert_eq!(read.unwrap_or_else(|error| error.to_string()), want, "{name}");
        }
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        let error = read_file(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fix(&error), Some("shorten it, or name another file"));
    }
}
