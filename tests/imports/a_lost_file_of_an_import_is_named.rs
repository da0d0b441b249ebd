//! While the log names a file of an import, it must be whole: without its rows, what they replace would come back. So
//! the open is refused, naming the file, and goes on where it was once the file is restored.

use std::sync::Arc;

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{Error, ErrorKind, ImportOptions};

fn refusal(storage: &SimStorage, clock: &SimClock) -> Option<Error> {
    open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), tiny_without_vectors()).err()
}

#[test]
fn an_open_without_it_is_refused_until_it_is_restored() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    for number in 0..10 {
        store.put(numbered(&a, format!("k{number}"), number)).unwrap();
        store.put(numbered(&b, format!("k{number}"), number)).unwrap();
    }
    let items = (5..25).map(|number| Ok(numbered(&a, format!("k{number}"), 100 + number)));
    store.import(items, ImportOptions::new()).unwrap();
    store.delete(&a, "k24").unwrap();
    let wanted = store.text_dump().unwrap();
    let lost = storage.crash(Loss::AllUnsynced, 0);
    let files: Vec<String> = lost.names().into_iter().filter(|name| name.ends_with(".truth")).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let whole = lost.read_file(file).unwrap();

    lost.remove_file(file);
    let error = refusal(&lost, &clock).unwrap();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(file.as_str()), "{error}");
    let (mut refused, mut harmless) = (0, 0);
    for place in (0..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[place] ^= 16;
        lost.write_file(file, &damaged);
        match refusal(&lost, &clock) {
            Some(error) => {
                assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(file.as_str()), "{error}");
                refused += 1;
            }
            None => harmless += 1,
        }
    }
    println!("{refused} bytes refused, {harmless} not needed by the replay");
    assert!(refused > 0);

    lost.write_file(file, &whole);
    let store = reopened(&lost, &clock, tiny_without_vectors());
    assert_eq!(store.text_dump().unwrap(), wanted);
    store.compact().unwrap();
    assert_eq!(store.text_dump().unwrap(), wanted);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    drop(store);
    assert_eq!(
        reopened(&lost.crash(Loss::AllUnsynced, 0), &clock, tiny_without_vectors()).text_dump().unwrap(),
        wanted
    );
}
