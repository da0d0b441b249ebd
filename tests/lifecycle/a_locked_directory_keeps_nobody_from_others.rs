//! Who waits for a directory that is locked keeps nobody from opening other ones.

use std::fs::File;
use std::time::Duration;

use vecmem::{Options, Store};

const OTHERS: usize = 50;

#[test]
fn a_locked_directory_keeps_nobody_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let locked = directory.path().join("locked");
    Store::open(&locked, Options::new()).unwrap().close().unwrap();
    // As another process would hold it: locks belong to open files.
    let holder = File::open(locked.join("LOCK")).unwrap();
    holder.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Store::open(&locked, Options::new().lock_timeout(Duration::from_secs(20))));
        for other in 0..OTHERS {
            Store::open(directory.path().join(format!("{other}")), Options::new()).unwrap();
        }
        // Had one of them waited for the locked one, that would have given up by now.
        holder.unlock().unwrap();
        waiting.join().unwrap().unwrap().close().unwrap();
    });
}
