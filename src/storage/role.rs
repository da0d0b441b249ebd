//! What a call opens a directory for: its refusals name that, and not always a store.
//!
//! Invariants:
//! * A source that is not there, or is no directory, is `NotAStore`. A target is never that, since it need not be a
//!   store: it is `InvalidInput`, or an error of the system.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// The part that a directory plays in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryRole {
    /// A store, to be opened or created.
    Store,
    /// What a restore or a salvage reads, by this name.
    Source(&'static str),
    /// What a backup, a restore or a salvage fills.
    Target,
}

impl DirectoryRole {
    /// The error for a path that cannot be opened as a directory.
    pub fn refused(self, path: &Path, error: io::Error) -> Error {
        let here = path.display();
        let why = match (error.kind(), self) {
            (io::ErrorKind::NotADirectory, Self::Store) => {
                "is not a directory; give the directory of a store".to_owned()
            }
            (io::ErrorKind::NotADirectory, Self::Source(what)) => {
                format!("is not a directory; give the directory of a {what}")
            }
            (io::ErrorKind::NotADirectory, Self::Target) => {
                "is not a directory, or lies below a file; give an empty or a new directory".to_owned()
            }
            (io::ErrorKind::NotFound, _) if path.is_symlink() => {
                "is a symbolic link to nothing; remove it or mend it".to_owned()
            }
            (io::ErrorKind::NotFound, Self::Store) => {
                return Error::new(
                    ErrorKind::NotAStore,
                    format!("there is no store at {here}; create one or correct the path"),
                );
            }
            (io::ErrorKind::NotFound, Self::Source(what)) => {
                return Error::new(ErrorKind::NotAStore, format!("there is no {what} at {here}; correct the path"));
            }
            (_, Self::Target) => return Error::io(here, "make or open the directory", error),
            (_, Self::Source(what)) => return Error::io(here, format_args!("open the {what} at"), error),
            (_, Self::Store) => return Error::io(here, "open the store at", error),
        };
        let kind = if self == Self::Target { ErrorKind::InvalidInput } else { ErrorKind::NotAStore };
        Error::new(kind, format!("{here} {why}"))
    }
}
