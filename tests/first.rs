//! first
use vecmem::*;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let o = || Options::with_vectors(3, Metric::Cosine).tuning(Tuning { inline_background: true, ..Tuning::tiny() });
    let s = Store::open(dir.path(), o()).unwrap();
    let ns = Namespace::new(["users", "ada"]).unwrap();
    for i in 0..500 {
        let f = i as f32;
        s.put(Put::new(&ns, format!("k{i}"), format!("{{\"n\":{i}}}")).vector(vec![f.sin(), f.cos(), 1.0])).unwrap();
    }
    let a = s.search(&Query::new(&ns).vector(vec![1.0, 0.0, 1.0]).limit(5).explain(true)).unwrap();
    println!("{a:#?}");
    assert_eq!(a.len(), 5);
    println!("{:#?}", s.stats().unwrap());
    let d = s.text_dump().unwrap();
    assert_eq!(s.check(false).unwrap().problems, Vec::<String>::new());
    drop(s);
    let s = Store::open(dir.path(), o()).unwrap();
    assert_eq!(s.text_dump().unwrap(), d);
    s.compact().unwrap();
    assert_eq!(s.text_dump().unwrap(), d);
    println!("{:#?}", s.stats().unwrap());
}
