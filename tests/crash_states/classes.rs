//! The classes of crash states: what a crash may make of the changes that no sync covered, as pure functions.
//!
//! Invariants:
//! * The states of a class follow from the unsynced changes and a seed.
//! * Where there are more changes than [`SINGLES`], the newest and some of the others stand for all.

use vecmem::testing::{ChangeFate, Random, UnsyncedChange};

/// Most single changes that one class of one image drops or keeps.
const SINGLES: usize = 24;
/// Subsets that one image draws.
const SUBSETS: usize = 6;
/// Most changes of names of which every subset is tried.
const ALL_NAMES: usize = 4;

/// One column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Power is lost, and with it every unsynced change.
    None,
    /// The process is killed, and every unsynced change is still unsynced.
    Killed,
    /// One change is lost.
    EachDropped,
    /// One change survives.
    EachKept,
    /// The newest changes are lost, one more in each state.
    SuffixLost,
    /// Each change survives or not, by chance; some in part.
    Subsets,
    /// The newest write survives in part: blocks of 512 bytes and of 4 KiB, and any length.
    Torn,
    /// A write left zeros.
    Zeros,
    /// A write left other bytes.
    Garbage,
    /// Files have their new lengths, and zeros for data.
    LengthFirst,
    /// Files have their new data, as far as their old lengths go.
    DataFirst,
    /// Names are done or not, each on its own.
    Names,
    /// A second crash, at an operation of the recovery or of the first writes after it.
    InRecovery,
    /// Syncs were not true. Promised is only that nothing else than what was written is shown.
    LyingSyncs,
}

pub const CLASSES: [Class; 14] = [
    Class::None,
    Class::Killed,
    Class::EachDropped,
    Class::EachKept,
    Class::SuffixLost,
    Class::Subsets,
    Class::Torn,
    Class::Zeros,
    Class::Garbage,
    Class::LengthFirst,
    Class::DataFirst,
    Class::Names,
    Class::InRecovery,
    Class::LyingSyncs,
];

impl Class {
    /// The name in commands and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Killed => "killed",
            Self::EachDropped => "dropped",
            Self::EachKept => "kept",
            Self::SuffixLost => "suffix",
            Self::Subsets => "subsets",
            Self::Torn => "torn",
            Self::Zeros => "zeros",
            Self::Garbage => "garbage",
            Self::LengthFirst => "length",
            Self::DataFirst => "data",
            Self::Names => "names",
            Self::InRecovery => "depth-2",
            Self::LyingSyncs => "lying",
        }
    }
}

/// The fates of `changes` in each state of a class; none for [`Class::Killed`] and [`Class::InRecovery`], which are no
/// matter of fates.
pub fn states(class: Class, changes: &[UnsyncedChange], seed: u64) -> Vec<Vec<ChangeFate>> {
    let mut random = Random::new(seed ^ (class as u64) << 56);
    let count = changes.len();
    match class {
        Class::None => vec![Vec::new()],
        Class::Killed | Class::InRecovery => Vec::new(),
        Class::EachDropped => {
            singles(count, &mut random).map(|one| with(count, ChangeFate::Done, one, ChangeFate::Lost)).collect()
        }
        Class::EachKept => {
            singles(count, &mut random).map(|one| with(count, ChangeFate::Lost, one, ChangeFate::Done)).collect()
        }
        Class::SuffixLost => (1..count.min(SINGLES)).map(|lost| vec![ChangeFate::Done; count - lost]).collect(),
        Class::Subsets => (0..SUBSETS).map(|_| subset(changes, &mut random)).collect(),
        Class::Torn => in_place_of_the_newest_write(changes, torn),
        Class::Zeros => each_write_as(changes, &mut random, |_| ChangeFate::Zeros),
        Class::Garbage => each_write_as(changes, &mut random, ChangeFate::Garbage),
        Class::LengthFirst => vec![vec![ChangeFate::LengthOnly; count]],
        Class::DataFirst => vec![vec![ChangeFate::WithinLength; count]],
        Class::Names => names(changes, &mut random),
        Class::LyingSyncs => lies(changes, &mut random),
    }
}

fn with(count: usize, all: ChangeFate, one: usize, fate: ChangeFate) -> Vec<ChangeFate> {
    let mut fates = vec![all; count];
    fates[one] = fate;
    fates
}

/// The newest changes, and some of the others.
fn singles(count: usize, random: &mut Random) -> impl Iterator<Item = usize> + use<> {
    let newest = count.saturating_sub(SINGLES * 2 / 3);
    let others = if newest == 0 { 0 } else { SINGLES / 3 };
    let others: Vec<usize> = (0..others).map(|_| random.below(newest)).collect();
    (newest..count).chain(others)
}

fn subset(changes: &[UnsyncedChange], random: &mut Random) -> Vec<ChangeFate> {
    let kept_percent = *random.pick(&[15, 50, 85]);
    let torn_percent = *random.pick(&[0, 0, 30]);
    let fate = |change: &UnsyncedChange| {
        if !random.chance(kept_percent) {
            return ChangeFate::Lost;
        }
        match change {
            UnsyncedChange::Write { length, .. } if random.chance(torn_percent) => {
                let seed = random.draw();
                *random.pick(&[
                    ChangeFate::First(seed as usize % length),
                    ChangeFate::Last(seed as usize % length),
                    ChangeFate::Blocks { size: 512, odd: seed.is_multiple_of(2) },
                    ChangeFate::Zeros,
                    ChangeFate::Garbage(seed),
                    ChangeFate::LengthOnly,
                    ChangeFate::WithinLength,
                ])
            }
            _ => ChangeFate::Done,
        }
    };
    changes.iter().map(fate).collect()
}

/// How one write can be torn.
fn torn(offset: u64, length: usize) -> Vec<ChangeFate> {
    let mut fates = Vec::new();
    for size in [512, 4096] {
        let first = size - offset as usize % size;
        let borders: Vec<usize> = (first..length).step_by(size).collect();
        for border in borders.iter().take(3).chain(borders.iter().skip(3).next_back()) {
            fates.extend([ChangeFate::First(*border), ChangeFate::Last(*border)]);
        }
        if !borders.is_empty() {
            fates.extend([ChangeFate::Blocks { size, odd: false }, ChangeFate::Blocks { size, odd: true }]);
        }
    }
    for length in [1, length / 3, length / 2, length.saturating_sub(1)] {
        fates.extend([ChangeFate::First(length), ChangeFate::Last(length)]);
    }
    fates
}

/// The newest write meets each fate, and of what came before everything survives, or nothing.
fn in_place_of_the_newest_write(
    changes: &[UnsyncedChange],
    fates: fn(u64, usize) -> Vec<ChangeFate>,
) -> Vec<Vec<ChangeFate>> {
    let newest = changes.iter().enumerate().rev().find_map(|(number, change)| match change {
        UnsyncedChange::Write { offset, length } => Some((number, fates(*offset, *length))),
        _ => None,
    });
    let Some((number, fates)) = newest else { return Vec::new() };
    let states = fates
        .iter()
        .flat_map(|fate| [ChangeFate::Done, ChangeFate::Lost].map(|others| with(changes.len(), others, number, *fate)));
    states.collect()
}

/// One write after the other meets a fate, and everything else survives.
fn each_write_as(
    changes: &[UnsyncedChange],
    random: &mut Random,
    fate: impl Fn(u64) -> ChangeFate,
) -> Vec<Vec<ChangeFate>> {
    let is_write = |number: &usize| matches!(changes[*number], UnsyncedChange::Write { .. });
    let writes: Vec<usize> = singles(changes.len(), random).filter(is_write).collect();
    writes.into_iter().map(|number| with(changes.len(), ChangeFate::Done, number, fate(random.draw()))).collect()
}

/// Subsets of the changes of names, with all bytes and without.
fn names(changes: &[UnsyncedChange], random: &mut Random) -> Vec<Vec<ChangeFate>> {
    let of_names: Vec<usize> =
        (0..changes.len()).filter(|&number| matches!(changes[number], UnsyncedChange::Name(_))).collect();
    if of_names.is_empty() {
        return Vec::new();
    }
    let subsets: Vec<u64> = if of_names.len() <= ALL_NAMES {
        (0..1 << of_names.len()).collect()
    } else {
        (0..1 << ALL_NAMES).map(|_| random.draw()).collect()
    };
    let mut states = Vec::new();
    for bits in subsets {
        for bytes in [ChangeFate::Done, ChangeFate::Lost] {
            let mut fates = vec![bytes; changes.len()];
            for (bit, &number) in of_names.iter().enumerate() {
                fates[number] = if bits >> (bit % 64) & 1 == 1 { ChangeFate::Done } else { ChangeFate::Lost };
            }
            states.push(fates);
        }
    }
    states
}

/// What a disk loses that did not keep its word: a stretch of changes, the newest ones, some of all, or one.
fn lies(changes: &[UnsyncedChange], random: &mut Random) -> Vec<Vec<ChangeFate>> {
    let count = changes.len();
    if count == 0 {
        return Vec::new();
    }
    let mut stretch = vec![ChangeFate::Done; count];
    let start = random.below(count);
    let length = 1 + random.below(count - start).min(12);
    stretch[start..start + length].fill(ChangeFate::Lost);
    let newest = vec![ChangeFate::Done; count - 1 - random.below(count.min(30))];
    let some = changes.iter().map(|_| if random.chance(95) { ChangeFate::Done } else { ChangeFate::Lost }).collect();
    let one = with(count, ChangeFate::Done, random.below(count), ChangeFate::Lost);
    vec![stretch, newest, some, one]
}
