//! If the newest manifest is damaged or gone, the store opens with everything that it held, or refuses and names a
//! file. It never shows an older state.

use std::collections::BTreeMap;

use crate::crash::compare::{same_items, settings};
use crate::crash::history::{History, do_both, open, record, state_found};
use crate::crash::operations::Generator;
use crate::crash::options;
use vecmem::testing::{Image, Loss, Random, SimClock, SimStorage};
use vecmem::{Durability, ErrorKind};

/// What happens to the newest manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Removed,
    FlippedBit,
    Cut,
    Zeros,
    /// The bytes of the generation before, under the name of the newest.
    OlderBytes,
    BothFlipped,
}

const DAMAGES: [Damage; 6] =
    [Damage::Removed, Damage::FlippedBit, Damage::Cut, Damage::Zeros, Damage::OlderBytes, Damage::BothFlipped];

/// The manifests on a disk, oldest first.
fn manifests(storage: &SimStorage) -> Vec<String> {
    storage.names().into_iter().filter(|name| name.starts_with("manifest-")).collect()
}

/// Damages the newest manifest; tells which file, unless there is none to fall back on.
fn damage(storage: &SimStorage, damage: Damage, random: &mut Random) -> Option<String> {
    let manifests = manifests(storage);
    let [.., older, newest] = &manifests[..] else { return None };
    let length = storage.read_file(newest)?.len() as u64;
    match damage {
        Damage::Removed => storage.remove_file(newest),
        Damage::FlippedBit => storage.flip_bit(newest, random.below(length * 8)),
        Damage::Cut => storage.truncate(newest, random.below(length)),
        Damage::Zeros => storage.write_file(newest, &vec![0; length as usize]),
        Damage::OlderBytes => storage.write_file(newest, &storage.read_file(older)?),
        Damage::BothFlipped => {
            for name in [older, newest] {
                let length = storage.read_file(name)?.len() as u64;
                storage.flip_bit(name, random.below(length * 8));
            }
        }
    }
    Some(newest.clone())
}

/// What came of a damage: whether the store opened.
fn judge(history: &History, image: &Image, loss: Loss, what: Damage, seed: u64) -> Result<Option<bool>, String> {
    let acknowledged = image.tag as usize;
    let clock = SimClock::new(history.clocks[acknowledged]);
    let whole = image.survivor(loss, seed);
    let damaged = whole.crash(Loss::None, 0);
    let last = (acknowledged + 1).min(history.models.len() - 1);
    let Some(name) = damage(&damaged, what, &mut Random::new(seed)) else { return Ok(None) };
    let store = open(&whole, &clock, &options()).map_err(|error| format!("the whole disk does not open: {error}"))?;
    let (number, model) = state_found(history, &store, last)?;
    let mut model = model.with_settings(&settings(&store)?);
    let store = match open(&damaged, &clock, &options()) {
        Ok(store) => store,
        Err(error) => {
            let place = error.location().map(|place| place.file.clone()).unwrap_or_default();
            let typed = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat);
            let named = place == name || place.starts_with("wal-") || place.starts_with("manifest-");
            return if typed && named { Ok(Some(false)) } else { Err(format!("refuses without a name: {error:?}")) };
        }
    };
    // A setting that was under way may be in the lost manifest alone.
    let under_way = history.models[acknowledged].settings != model.settings;
    if under_way && settings(&store)? == history.models[acknowledged].settings {
        model.settings = history.models[acknowledged].settings.clone();
    }
    same_items(&store, &model, &clock).map_err(|why| format!("opens with another state than {number}: {why}"))?;
    let mut generator = Generator::new(seed, 14);
    for _ in 0..3 {
        let operation = generator.plain_put(&model);
        do_both(&store, &clock, &mut model, &operation)?;
    }
    store.sync().map_err(|error| error.to_string())?;
    let again = damaged.crash(Loss::AllUnsynced, 0);
    let store = open(&again, &clock, &options()).map_err(|error| format!("does not open again: {error}"))?;
    same_items(&store, &model.reopened(), &clock).map_err(|why| format!("3 writes later: {why}"))?;
    Ok(Some(true))
}

#[test]
fn a_store_without_its_newest_manifest_is_the_same_or_is_refused() {
    let mut verdicts: BTreeMap<(Damage, bool), u64> = BTreeMap::new();
    for (seed, durability) in [(80, Durability::Sync), (81, Durability::Sync), (82, Durability::Manual)] {
        let history = record(seed, 240, 14, &options().durability(durability));
        for (number, image) in history.images.iter().enumerate().step_by(5) {
            let loss = if number % 2 == 0 { Loss::AllUnsynced } else { Loss::None };
            for what in DAMAGES {
                let tear = seed << 32 | number as u64;
                let verdict = judge(&history, image, loss, what, tear).unwrap_or_else(|why| {
                    panic!("seed {seed}, disk {number} ({} acknowledged), {loss:?}, {what:?}: {why}", image.tag)
                });
                verdict.into_iter().for_each(|opened| *verdicts.entry((what, opened)).or_default() += 1);
            }
        }
    }
    println!("{verdicts:?}");
    let opened = |what| verdicts.get(&(what, true)).copied().unwrap_or_default();
    for what in [Damage::FlippedBit, Damage::Cut, Damage::Zeros, Damage::OlderBytes] {
        assert!(opened(what) > 50, "{what:?}: the fall back was hardly used: {verdicts:?}");
    }
    assert_eq!(opened(Damage::BothFlipped), 0);
}
