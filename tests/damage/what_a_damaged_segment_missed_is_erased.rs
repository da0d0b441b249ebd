//! The keys of operations that a damaged segment missed lie in a file until the damage is given up; after that and an
//! erasure no file has them, nor what was in the segment.

use crate::common::canaries::{Canary, Needles, options};
use crate::common::directory::Directory;
use crate::common::namespace;
use vecmem::Scope;

#[test]
fn the_file_goes_with_the_damage() {
    erases(Directory::simulated);
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    erases(Directory::real);
}

fn erases(new_directory: fn() -> Directory) {
    for purges in [false, true] {
        let directory = new_directory();
        let store = directory.open(options());
        let canaries: Vec<Canary> = (0..12).map(|number| Canary::new("doomed", 3 * number)).collect();
        for canary in &canaries {
            store.put(canary.put()).unwrap();
        }
        store.compact().unwrap();
        let deleted = &canaries[4];
        assert!(store.delete(&deleted.namespace(), &deleted.key()).unwrap());
        let left = directory.killed();
        drop(store);
        let truth = left.names(".truth").pop().unwrap();
        left.flip_bit(&truth, 8 * (4_096 + 100));

        let store = left.open(options());
        store.set_setting("a", Some("{}")).unwrap();
        let mut needles = Needles::default();
        canaries.iter().for_each(|canary| needles.add(canary, true));
        let found = needles.in_files(&left.files());
        assert!(found.iter().any(|found| found.starts_with("missed ") && found.contains("key of 12")), "{found:?}");
        assert!(store.compact().is_err(), "the segment cannot be rewritten");
        assert!(store.purge(&Scope::Namespace(deleted.namespace())).is_err());

        store.accept_loss().unwrap();
        store.delete_range(&Scope::Prefix(namespace(["doomed"]))).unwrap();
        if purges {
            store.purge(&Scope::Prefix(namespace(["doomed"]))).unwrap();
        } else {
            store.compact().unwrap();
        }
        assert_eq!(needles.in_files(&left.files()), Vec::<String>::new(), "purges: {purges}");
        // The background changes no file while the decoders read.
        store.close().unwrap();
        assert_eq!(needles.in_contents(&left.contents()), Vec::<String>::new(), "purges: {purges}");
    }
}
