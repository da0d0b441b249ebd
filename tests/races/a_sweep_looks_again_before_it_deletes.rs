//! A sweep deletes an item only if it is still expired when the delete is decided.

use std::time::Duration;

use super::{number, store};
use crate::common::{namespace, numbered};
use vecmem::Durability;
use vecmem::testing::HookPoint;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn what_was_put_again_since_it_was_listed_stays() {
    let (store, _, clock) = store(Durability::Sync);
    let home = namespace(["a"]);
    for key in ["again", "expired"] {
        store.put(numbered(&home, key, 1).ttl(HOUR)).unwrap();
    }
    clock.advance(2 * HOUR);
    std::thread::scope(|scope| {
        let listed = store.hold_at(HookPoint::SweepListed);
        let sweep = scope.spawn(|| store.sweep());
        listed.wait_until_held();
        store.put(numbered(&home, "again", 2)).unwrap();
        listed.let_go();
        assert_eq!(sweep.join().unwrap().unwrap(), 1);
    });
    assert_eq!((number(&store, &home, "again"), number(&store, &home, "expired")), (Some(2), None));
}
