//! The kernels of every instruction set give the same answers, to the last bit of every score.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::{Random, namespace, numbered, simulated, tiny};
use vecmem::{Metric, Query};

const CHILD: &str = "VECMEM_TEST_CHILD";

/// Searches that need codes, re-ranking, several parts and every length of tail; one line for each hit.
fn answers() -> String {
    let mut lines = String::new();
    for (metric, dims) in [(Metric::Cosine, 1), (Metric::Dot, 31), (Metric::L2, 64), (Metric::Cosine, 131)] {
        let (store, _, _) = simulated(tiny(dims, metric));
        let (home, mut random) = (namespace(["a"]), Random::new(dims as u64));
        for number in 0..300 {
            let put = numbered(&home, number.to_string(), number).vector(random.vector(dims));
            store.put(if number % 7 == 0 { put.field_vector("b", random.vector(dims)) } else { put }).unwrap();
        }
        for limit in [1, 10, 400] {
            let answer = store.search(&Query::new(&home).vector(random.vector(dims)).limit(limit)).unwrap();
            for hit in &*answer {
                lines += &format!("{metric:?} {dims} {} {:08x}\n", hit.item.key, hit.score.unwrap().to_bits());
            }
        }
    }
    lines
}

#[test]
fn every_kernel_gives_the_same_answers() {
    if std::env::var_os(CHILD).is_some() {
        print!("<<<{:?}\n{}>>>", vecmem::distance::Kernels::get().isa(), answers());
        return;
    }
    let expected = answers();
    let mut kernels = Vec::new();
    for isa in vecmem::distance::Isa::ALL.map(vecmem::distance::Isa::name) {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "every_kernel_gives_the_same_answers", "--nocapture"]);
        let output = child.env(CHILD, "1").env("VECMEM_ISA", isa).output().unwrap();
        assert!(output.status.success(), "{isa}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let inside = text.split_once("<<<").and_then(|(_, rest)| rest.split_once(">>>")).unwrap().0;
        let (used, found) = inside.split_once('\n').unwrap();
        assert!(found == expected, "{isa} differs");
        kernels.push(used.to_owned());
    }
    println!("compared with {kernels:?}");
    assert_eq!(kernels[0], "Portable");
}
