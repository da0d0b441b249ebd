//! One error type for the whole engine: a kind for the code of the caller, and a message for people.
//!
//! Invariants:
//! * There is one [`ErrorKind`] for each thing a caller would do differently.
//! * The message names the thing (file, offset, namespace, limit) and says what to do. It quotes no value or vector.
//! * A message has at most [`MESSAGE_CHARACTERS_MAX`] characters, however long the thing is that it names.

mod excess;

use std::borrow::Cow;
use std::fmt;

pub use excess::QuotaExcess;

/// The most characters of a message. The middle of a longer one is left out, since the remedy stands at the end.
const MESSAGE_CHARACTERS_MAX: usize = 2_000;
/// The most characters of a name that [`shortened`] leaves as it is.
const NAME_CHARACTERS_MAX: usize = 120;

/// Too many open files in the system (`ENFILE`) or in this process (`EMFILE`). The standard library has no stable names
/// for these errors. Their numbers are the same on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// The result of every fallible call of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms of what the caller does next.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An argument can never be accepted (NaN, wrong dimensions, malformed JSON or filter, empty label). Fix the call.
    InvalidInput,
    /// An argument is larger than a documented limit. Split it or make it smaller.
    Limit(Limit),
    /// A conditional write found another state than its condition asks for; its batch has written nothing. Read again
    /// and decide.
    ConditionFailed,
    /// The write would make a scope hold more than its quota; its batch has written nothing. Delete items of the scope
    /// that [`Error::quota`] names, or raise the quota.
    QuotaExceeded,
    /// Back-pressure: writers outrun the disk. A put that waited too long has written nothing. A purge has left
    /// old files behind; its message says which. Try again later.
    Busy,
    /// The wall clock may be wrong: it is far ahead of the time of the last write plus the time that has passed since,
    /// or behind it. So no expired item is removed. Set the clock, wait, or call
    /// [`Store::accept_clock`](crate::Store::accept_clock).
    ClockSkew,
    /// The disk is full; nothing was written. Reads and deletes still work. Free space and try again.
    DiskFull,
    /// The process or the system has reached a limit of open files, maps or memory; nothing was written. The message
    /// names the limit. Raise it, or close other files, and try again.
    SystemLimit,
    /// A sync or write failed, so the last writes may or may not be durable, and the store accepts no more writes.
    /// Reopen it: the open finds out which writes are durable.
    Poisoned,
    /// Another process has the store open. The message names it.
    Locked,
    /// The store is open in this process, or was created, with other options. Use the same ones: [`Error::option`] says
    /// which one differs.
    OptionsDiffer,
    /// The path holds no vecmem store, or does not exist and [`create`](crate::Options::create) is false.
    NotAStore,
    /// The store was written by a newer version of vecmem. Upgrade.
    NewerFormat,
    /// The store's files contradict each other or are damaged, and opening would lose or invent data. Restore or
    /// repair.
    Corrupt,
    /// The call needs a damaged part of a file. Other scopes still work; `partial` skips the damage.
    Damaged,
    /// The operating system refused an operation on a file.
    Io,
    /// The store was opened before a `fork` and this is the child. Open it again in the child.
    Forked,
    /// The store has been closed.
    Closed,
    /// A purge has removed what the snapshot, cursor or listing could show. Take a new one.
    SnapshotGone,
    /// The caller's deadline passed before the result was complete.
    DeadlineExceeded,
    /// Another thread has ended the call, see [`Interrupt`](crate::Interrupt). Installed work stays.
    Interrupted,
    /// The store or its directory is read-only, or the user has no permission to write to it.
    ReadOnly,
}

/// The documented limits of the data model; the numbers are in [`crate::limits`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Bytes of one label.
    LabelBytes,
    /// Labels of one namespace.
    Labels,
    /// Bytes of one key.
    KeyBytes,
    /// Bytes of one value.
    ValueBytes,
    /// Nesting of one value or filter.
    Depth,
    /// Dimensions of a vector space.
    Dimensions,
    /// Vectors of one item.
    VectorsPerItem,
    /// Nodes of one filter.
    FilterNodes,
    /// Values in the lists of one filter.
    FilterValues,
    /// Bytes of the literals of one filter.
    FilterBytes,
    /// Paths of one selection of fields.
    SelectedPaths,
    /// Operations of one batch.
    BatchOperations,
    /// Bytes of one batch.
    BatchBytes,
    /// Items of one delete by filter, or of one prune.
    PrunedItems,
    /// Items of one rename, or their bytes.
    RenamedItems,
    /// Different values at a path, or their bytes.
    DistinctValues,
    /// Quotas of one store.
    Quotas,
    /// Settings of one store.
    Settings,
    /// Bytes of the name of a setting.
    SettingNameBytes,
    /// Bytes of one setting.
    SettingBytes,
    /// Paths of the field rules of one store.
    FieldRules,
    /// Bytes of a path of field rules.
    FieldRuleBytes,
}

/// The place that an error is about.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The name of a file in the directory of the store.
    pub file: String,
    /// Where in the file, in bytes; `None` if the error is about the file as a whole, or about its absence.
    pub offset: Option<u64>,
}

/// An option of an open whose value differs from the store's.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionMismatch {
    /// The option, by its name in Python and on the command line: `dims`, `metric`, `durability` ...
    pub name: &'static str,
    /// The value that the store was created with, or is open with in this process; `none` if it has none.
    pub stored: String,
    /// The value that the open asked for.
    pub given: String,
}

/// An error: its [`kind`](Error::kind), a message for people, and the cause where there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    location: Option<Box<Location>>,
    option: Option<Box<OptionMismatch>>,
    quota: Option<Box<QuotaExcess>>,
    /// Whether the failed operation certainly had no effect.
    undone: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message that names the thing and says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = without_middle(Cow::Owned(message.into()), MESSAGE_CHARACTERS_MAX).into_owned();
        Self { kind, message, location: None, option: None, quota: None, undone: false, source: None }
    }

    /// An argument that can never be accepted.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// `what` has `actual`, more than the `limit` of `maximum`.
    pub fn limit(limit: Limit, what: impl fmt::Display, actual: usize, maximum: usize) -> Self {
        Self::new(ErrorKind::Limit(limit), format!("{what}: {actual} exceeds the limit of {maximum}"))
    }

    /// A file whose bytes are damaged at `offset`.
    pub fn corrupt(file: impl fmt::Display, offset: u64, what: impl fmt::Display) -> Self {
        let file = file.to_string();
        let message = format!("{file} at offset {offset}: {what}");
        Self::new(ErrorKind::Corrupt, message).at(file, Some(offset))
    }

    /// A limit of the system that stopped an operation before it had any effect.
    pub(crate) fn system_limit(message: String) -> Self {
        Self { undone: true, ..Self::new(ErrorKind::SystemLimit, message) }
    }

    /// A store that is open, or was created, with another value of an option.
    pub(crate) fn option_differs(message: String, option: OptionMismatch) -> Self {
        Self { option: Some(Box::new(option)), ..Self::new(ErrorKind::OptionsDiffer, message) }
    }

    /// A write that would make a scope hold more than its quota.
    pub(crate) fn quota_exceeded(excess: QuotaExcess) -> Self {
        let QuotaExcess { scope, unit, limit, used, added } = &excess;
        let message = format!(
            "{} holds {used} of at most {limit} {unit}, and this write would add {added}; nothing was written: delete \
             something of it, sweep what has expired, or raise its quota",
            shortened(scope)
        );
        Self { quota: Some(Box::new(excess)), ..Self::new(ErrorKind::QuotaExceeded, message) }
    }

    /// An operating system error on `file` while doing `what`. A full disk, a lack of write permission and a limit of
    /// the system have their own kinds.
    pub fn io(file: impl fmt::Display, what: impl fmt::Display, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Os;
        let limit = system_limit(&source);
        let kind = match source.kind() {
            _ if limit.is_some() => ErrorKind::SystemLimit,
            Os::StorageFull | Os::QuotaExceeded | Os::FileTooLarge => ErrorKind::DiskFull,
            Os::ReadOnlyFilesystem | Os::PermissionDenied => ErrorKind::ReadOnly,
            _ => ErrorKind::Io,
        };
        let remedy = match kind {
            ErrorKind::DiskFull => "; free some space and try again",
            ErrorKind::ReadOnly => "; give this user access to it",
            _ => limit.unwrap_or_default(),
        };
        let message = format!("cannot {what} {file}: {source}{remedy}");
        Self { undone: limit.is_some(), source: Some(Box::new(source)), ..Self::new(kind, message) }
    }

    /// The kind of the error, for the code of the caller.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file of the store, and the place in it, at which a read or an open failed. The file is damaged, missing,
    /// locked by another process, or of a newer version. `None` for errors that are not about a single file.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_deref()
    }

    /// The option that differs from the store's, if an open was refused for that reason.
    pub fn option(&self) -> Option<&OptionMismatch> {
        self.option.as_deref()
    }

    /// The quota that the write would exceed, if it was refused for that reason.
    pub fn quota(&self) -> Option<&QuotaExcess> {
        self.quota.as_deref()
    }

    /// Whether the failed operation certainly had no effect, so that a writer may go on.
    pub(crate) fn is_undone(&self) -> bool {
        self.undone
    }

    /// The same error without its location.
    #[must_use]
    pub(crate) fn without_place(self) -> Self {
        Self { location: None, ..self }
    }

    /// The same error about `file`, a name in the directory of the store, and a place in it.
    #[must_use]
    pub(crate) fn at(mut self, file: impl fmt::Display, offset: Option<u64>) -> Self {
        self.location = Some(Box::new(Location { file: file.to_string(), offset }));
        self
    }

    /// Whether the system refused to read an existing file. Such an error may pass, and does not mean damage.
    pub(crate) fn is_unread(&self) -> bool {
        let source = self.source.as_ref().and_then(|source| source.downcast_ref::<std::io::Error>());
        self.undone || source.is_some_and(|source| source.kind() != std::io::ErrorKind::NotFound)
    }

    /// The same error with `context` in front of its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        let message = format!("{context}: {}", self.message);
        self.message = without_middle(Cow::Owned(message), MESSAGE_CHARACTERS_MAX).into_owned();
        self
    }

    /// The same error with another kind, for a layer that knows better what the caller can do.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self.undone = false;
        self
    }

    /// A copy for another caller with the same failure. The copy has no source.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            location: self.location.clone(),
            option: self.option.clone(),
            quota: self.quota.clone(),
            undone: self.undone,
            ..Self::new(self.kind, self.message.clone())
        }
    }
}

/// A name for a message: the middle of a long one is left out.
pub(crate) fn shortened(name: &str) -> Cow<'_, str> {
    without_middle(Cow::Borrowed(name), NAME_CHARACTERS_MAX)
}

/// The text, if it has at most so many characters, else its beginning and its end.
fn without_middle(text: Cow<'_, str>, characters_max: usize) -> Cow<'_, str> {
    const GAP: &str = " ... ";
    // No text has more characters than bytes.
    if text.len() <= characters_max {
        return text;
    }
    let kept = characters_max - GAP.len();
    let end = text.char_indices().rev().nth(kept / 2 - 1).map_or(0, |(at, _)| at);
    match text.char_indices().nth(kept - kept / 2) {
        Some((beginning, _)) if beginning < end && text.chars().nth(characters_max).is_some() => {
            Cow::Owned(format!("{}{GAP}{}", &text[..beginning], &text[end..]))
        }
        _ => text,
    }
}

/// The end of the message for an error at a limit of the system: the limit and the remedy. `None` for other errors.
fn system_limit(error: &std::io::Error) -> Option<&'static str> {
    match error.raw_os_error() {
        Some(EMFILE) => Some(
            "; this process has as many open files as it may: raise its limit (`ulimit -n`, LimitNOFILE of a service) or close \
             what it does not need, and try again",
        ),
        Some(ENFILE) => Some(
            "; the system has as many open files as it may: raise fs.file-max or end programs that hold many, and try again",
        ),
        _ if error.kind() == std::io::ErrorKind::OutOfMemory => Some(
            "; the system has no memory for it, or this process as many maps as it may: raise vm.max_map_count (or `ulimit -v`) \
             or free memory, and try again",
        ),
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// For callers whose own errors are those of `std::io`: the kind is the nearest one, and the error is inside.
///
/// ```
/// use vecmem::{ErrorKind, Options, Store};
///
/// fn open() -> std::io::Result<Store> {
///     Ok(Store::open("/nothing/there", Options::new().create(false))?)
/// }
/// let error = open().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// assert!(error.downcast::<vecmem::Error>().is_ok());
/// ```
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Os;
        let cause = error.source.as_ref().and_then(|source| source.downcast_ref::<Self>());
        let kind = match (error.kind, cause) {
            (_, Some(cause)) => cause.kind(),
            (ErrorKind::InvalidInput | ErrorKind::Limit(_) | ErrorKind::OptionsDiffer, _) => Os::InvalidInput,
            (ErrorKind::ConditionFailed, _) => Os::AlreadyExists,
            (ErrorKind::Busy, _) => Os::WouldBlock,
            (ErrorKind::DiskFull, _) => Os::StorageFull,
            (ErrorKind::QuotaExceeded, _) => Os::QuotaExceeded,
            (ErrorKind::SystemLimit, _) => Os::OutOfMemory,
            (ErrorKind::Locked, _) => Os::ResourceBusy,
            (ErrorKind::NotAStore, _) => Os::NotFound,
            (ErrorKind::NewerFormat, _) => Os::Unsupported,
            (ErrorKind::Corrupt | ErrorKind::Damaged, _) => Os::InvalidData,
            (ErrorKind::DeadlineExceeded, _) => Os::TimedOut,
            (ErrorKind::ReadOnly, _) => Os::ReadOnlyFilesystem,
            (ErrorKind::Closed | ErrorKind::Forked | ErrorKind::SnapshotGone, _) => Os::NotConnected,
            // Not `Interrupted`, since callers of `std::io` retry after it.
            (ErrorKind::Interrupted | ErrorKind::Poisoned | ErrorKind::Io | ErrorKind::ClockSkew, _) => Os::Other,
        };
        Self::new(kind, error)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, MESSAGE_CHARACTERS_MAX, NAME_CHARACTERS_MAX, shortened};

    #[test]
    fn the_middle_of_a_long_name_is_left_out() {
        for unit in ["x", "é", "😀"] {
            for length in [0, 1, NAME_CHARACTERS_MAX - 1, NAME_CHARACTERS_MAX] {
                assert_eq!(shortened(&unit.repeat(length)), unit.repeat(length));
            }
            for length in [NAME_CHARACTERS_MAX + 1, 1_000_000] {
                let name = format!("a{}z", unit.repeat(length - 2));
                let short = shortened(&name).into_owned();
                assert_eq!(short.chars().count(), NAME_CHARACTERS_MAX, "{short}");
                assert!(short.starts_with('a') && short.ends_with('z') && short.contains(" ... "), "{short}");
            }
        }
    }

    #[test]
    fn a_message_is_bounded_and_keeps_its_remedy() {
        let long = "x".repeat(1_000_000);
        let error = Error::invalid(format!("the key {long} is wrong; fix it")).context(&long).context("first");
        let message = error.to_string();
        assert_eq!(message.chars().count(), MESSAGE_CHARACTERS_MAX);
        assert!(message.starts_with("first: x") && message.ends_with("x is wrong; fix it"), "{message}");
    }
}
