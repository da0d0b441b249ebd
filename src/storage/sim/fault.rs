//! Faults to order: which operation fails, how, and how often.
//!
//! Invariant: an ordered fault strikes by count of operations alone, so the same run is struck at the same place.

use std::fmt;
use std::io;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimOperation {
    /// Creating a file.
    Create,
    /// Opening one.
    Open,
    /// Mapping one.
    Map,
    /// Reading from one.
    Read,
    /// Writing to one.
    Write,
    /// Setting its length.
    SetLength,
    /// Making its bytes durable.
    SyncData,
    /// Making its bytes and length durable.
    SyncAll,
    /// Making names durable.
    SyncDir,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Listing the directory.
    List,
}

impl SimOperation {
    /// Everything that changes the disk or makes a change durable.
    pub const CHANGES: &'static [Self] = &[
        Self::Create,
        Self::Write,
        Self::SetLength,
        Self::SyncData,
        Self::SyncAll,
        Self::SyncDir,
        Self::Rename,
        Self::Remove,
    ];
    /// Everything that needs space.
    pub const GROWTH: &'static [Self] = &[Self::Create, Self::Write, Self::SetLength];
    /// Everything that needs a descriptor or a map.
    pub const OPENS: &'static [Self] = &[Self::Create, Self::Open, Self::Map, Self::List];
    /// The three syncs.
    pub const SYNCS: &'static [Self] = &[Self::SyncData, Self::SyncAll, Self::SyncDir];
    /// Everything that looks.
    pub const READS: &'static [Self] = &[Self::Open, Self::Map, Self::Read, Self::List];

    pub(super) fn is_sync(self) -> bool {
        Self::SYNCS.contains(&self)
    }
}

/// The verb of messages and traces.
impl fmt::Display for SimOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Map => "map",
            Self::Read => "read",
            Self::Write => "write",
            Self::SetLength => "set_len",
            Self::SyncData => "sync_data",
            Self::SyncAll => "sync_all",
            Self::SyncDir => "sync_dir",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::List => "list",
        })
    }
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An input or output error; nothing is done. A sync loses what it covered: it stays visible and never becomes
    /// durable.
    Io,
    /// The disk is full; nothing is done. A sync loses what it covered.
    Full,
    /// The process has as many open files as it may; nothing is done. Meant for [`SimOperation::OPENS`].
    OpenFiles,
    /// No memory, or as many maps as the process may have; nothing is done. Meant for [`SimOperation::OPENS`].
    Memory,
    /// A write is done in part, then the disk is full; other operations fail as with `Full`.
    Short,
}

impl FaultKind {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("simulated input/output error"),
            Self::Full | Self::Short => io::Error::from(io::ErrorKind::StorageFull),
            Self::OpenFiles => io::Error::from_raw_os_error(24),
            Self::Memory => io::Error::from_raw_os_error(12),
        }
    }
}

/// One ordered fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// How it fails.
    pub kind: FaultKind,
    /// Which operations it concerns and counts; none means all.
    pub on: &'static [SimOperation],
    /// Whether all later ones of these fail too, or only one.
    pub sticky: bool,
}

impl Fault {
    /// Fails one of the operations in `on`.
    pub const fn once(kind: FaultKind, on: &'static [SimOperation]) -> Self {
        Self { kind, on, sticky: false }
    }

    /// Fails one of the operations in `on` and all that follow.
    pub const fn sticky(kind: FaultKind, on: &'static [SimOperation]) -> Self {
        Self { kind, on, sticky: true }
    }
}

#[derive(Default)]
pub(super) struct Faults {
    waiting: Vec<(u64, Fault)>,
    struck: bool,
}

impl Faults {
    pub fn add(&mut self, after: u64, fault: Fault) {
        self.waiting.push((after, fault));
    }

    pub fn struck(&self) -> bool {
        self.struck
    }

    /// Counts `operation` and returns the fault that strikes it.
    pub fn strike(&mut self, operation: SimOperation) -> Option<FaultKind> {
        let mut kind = None;
        self.waiting.retain_mut(|(left, fault)| {
            let concerned = fault.on.is_empty() || fault.on.contains(&operation);
            if !concerned {
                return true;
            }
            if *left > 0 {
                *left -= 1;
                return true;
            }
            kind = kind.or(Some(fault.kind));
            fault.sticky
        });
        self.struck |= kind.is_some();
        kind
    }
}
