//! pingora reads `/dev/null` at the start as a file without a CA, and panics without it. A chroot may have
//! none.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Where it is.
pub const PATH: &str = "/dev/null";

/// What to do without it.
pub const ADVICE: &str = "in a chroot create it (`mknod -m 666 dev/null c 1 3`), or mount `/dev`";

/// Says why it cannot be read, and what to do.
pub fn check() -> Result<(), String> {
    read(Path::new(PATH)).map_err(|cause| format!("{cause}; {ADVICE}"))
}

/// Says why it cannot be read.
pub fn read(path: &Path) -> Result<(), String> {
    let read = File::open(path).and_then(|mut device| device.read(&mut [0]));
    let shown = path.display();
    match read {
        Ok(0) => Ok(()),
        Ok(_) => Err(format!("`{shown}` is not the null device, for it has content")),
        Err(error) => Err(format!("`{shown}` cannot be read, and Sidegate needs it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn null_device_that_is_missing_or_has_content_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("full"), "x").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for (path, want) in [
            (PathBuf::from(PATH), None),
            (at("empty"), None),
            (
                at("missing"),
                Some("cannot be read, and Sidegate needs it: No such file"),
            ),
            (
                at("folder"),
                Some("cannot be read, and Sidegate needs it: Is a directory"),
            ),
            (at("full"), Some("is not the null device")),
        ] {
            let said = read(&path).err();
            let holds = |want: &str| said.as_ref().is_some_and(|said| said.contains(want));
            assert!(want.map_or(said.is_none(), holds), "{}: {said:?}", path.display());
        }
    }
}
