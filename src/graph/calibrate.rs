//! Fits the table of a [`Calibration`]: of a new graph, and of one class of a graph whose queries have found too little
//! (`asked.rs`). Sample queries, some like the data and some not, or queries that were asked, are searched with a
//! rising ef. For each class of queries and each recall the table gets the smallest ef that finds enough of the correct
//! results, for whichever kind of query needs most.
//!
//! Invariants:
//! * The same graph, vectors and queries give the same table, at any number of threads.
//! * The fit of a new graph depends on no query that was asked. It costs a small share of the build: at most 460
//!   samples, with one distance for each pair of a sample and a node, and walks.

use rayon::prelude::*;

use crate::error::Result;
use crate::graph::calibration::{CLASSES, Calibration, EfRows, RECALLS, RESULTS, VISITS_AT};
use crate::graph::samples::{GROUP, KINDS, Recipe, Sample, SampleOrigin, VectorOf, Walked, samples};
use crate::graph::{Graph, Points};
use crate::ids::NodeId;

/// The most stored vectors that serve as queries, and the fewest (unless the graph has fewer nodes).
const SAMPLES_MAX: usize = 300;
const SAMPLES_MIN: usize = 64;
/// Nodes for each of them.
const NODES_PER_SAMPLE: usize = 100;
/// Queries of the other kinds.
const MOVED: usize = 32;
const UNLIKE: usize = 64;
/// The ratio of one tried ef to the one before, up to the most results and above.
const STEP: f32 = 1.4;
const LONG_STEP: f32 = 2.0;
/// No ef is tried above this one.
const EF_MAX: usize = 4_096;
/// The ef of the search by which a sample is put into a class.
const CLASS_EF: usize = 20;
/// One in so many queries like the data may look unlike.
const LOOKS_UNLIKE: usize = 250;
/// So many samples tell what a search costs.
const VISITS_SAMPLES: usize = 48;
/// The part of the distance from the median to that bound by which it is lowered.
const SLACK: f32 = 0.2;
/// A kind of query counts on its own if a class has so many samples of it, else together with the others. In a class of
/// queries unlike the data fewer are enough, since what chance may have added is left out.
pub(super) const KIND_MIN: usize = 12;
const UNLIKE_MIN: usize = 4;
/// How many standard errors of a kind's mean are left out.
const CHANCE: f32 = 1.5;
/// No ef is tried after one that visits this part of the nodes: a flat search costs less.
const VISITED_MOST: usize = 2;
/// Less than this is not told from nothing missed.
const MISSED_LEAST: f32 = 5e-4;
/// The ef where no ef is enough: larger than any that is searched with.
pub(super) const EF_NEVER: u32 = 1 << 20;

/// Searches some samples with an ef.
type Walks<'a> = dyn Fn(&[&Sample], usize) -> Result<Vec<Walked>> + 'a;

/// The queries of a fit.
pub(crate) struct Sampled<'a> {
    /// The numbers of the vectors that serve as queries. A number that is no node's is that of another vector.
    pub nodes: Vec<NodeId>,
    pub vector_of: VectorOf<'a>,
}

impl<'a> Sampled<'a> {
    /// Some of a graph's `nodes`, spread over all.
    pub fn of_nodes(nodes: usize, vector_of: VectorOf<'a>) -> Self {
        Self { nodes: spread(nodes).into_iter().map(NodeId).collect(), vector_of }
    }

    /// All vectors as they are, and some of them for each other kind of query.
    fn recipes(&self) -> Vec<Recipe<'_>> {
        let stored = self.nodes.iter().map(|&node| Recipe::Made { node, origin: SampleOrigin::Stored });
        let kinds = [(SampleOrigin::Moved, MOVED), (SampleOrigin::Opposite, UNLIKE), (SampleOrigin::Direction, UNLIKE)];
        let made = kinds.into_iter().flat_map(|(origin, count)| {
            spread_over(&self.nodes, count).map(move |&node| Recipe::Made { node, origin })
        });
        stored.chain(made).collect()
    }
}

/// Fits the table of a graph over `points` to the queries. `go_on` is called before each block of codes and before each
/// walk. Its error ends the fit.
pub(crate) fn calibrate(
    graph: Graph<'_>,
    points: &Points<'_>,
    sampled: &Sampled<'_>,
    pool: &rayon::ThreadPool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Calibration> {
    let recipes = sampled.recipes();
    let groups: Vec<Vec<Sample>> = pool.install(|| {
        recipes.par_chunks(GROUP).map(|group| samples(group, points, sampled.vector_of, go_on)).collect::<Result<_>>()
    })?;
    let samples: Vec<Sample> = groups.into_iter().flatten().filter(Sample::is_decided).collect();
    if samples.is_empty() {
        // Nothing says which results are right.
        let bounds = [f32::NEG_INFINITY; CLASSES - 1];
        return Ok(Calibration { bounds, ef: [[[EF_NEVER; 5]; 2]; CLASSES], visits: [points.len() as u32; 5] });
    }
    let walk = |members: &[&Sample], ef: usize| -> Result<Vec<Walked>> {
        let walked = |sample: &&Sample| go_on().map(|()| sample.walk(graph, points, ef));
        pool.install(|| members.par_iter().map(walked).collect())
    };
    let all: Vec<&Sample> = samples.iter().collect();
    let looks: Vec<f32> = walk(&all, CLASS_EF)?.into_iter().map(|walked| walked.likeness).collect();
    let bounds = class_bounds(&samples, &looks);
    let ef = [RESULTS.map(|results| [2 * results as u32; RECALLS.len()]); CLASSES];
    let like: Vec<&Sample> = all.iter().copied().filter(|sample| sample.origin.is_like_the_data()).collect();
    let some: Vec<&Sample> = spread_over(&like, VISITS_SAMPLES).copied().collect();
    let mut visits = [0; VISITS_AT.len()];
    for (visits, ef) in visits.iter_mut().zip(VISITS_AT) {
        let visited: usize = walk(&some, ef)?.iter().map(|walked| walked.visited).sum();
        *visits = (visited / some.len().max(1)) as u32;
    }
    let mut table = Calibration { bounds, ef, visits };
    for class in 0..CLASSES {
        // A longer search may find what makes a query look more like the data.
        let is_of = |sample: &Sample, looks: f32| [looks, sample.likeness].map(|likeness| table.class(likeness));
        let members = all.iter().zip(&looks).filter(|(sample, looks)| is_of(sample, **looks).contains(&class));
        let members: Vec<&Sample> = members.map(|(sample, _)| *sample).collect();
        table.ef[class] = match class.checked_sub(1) {
            Some(before) if members.is_empty() => table.ef[before],
            _ if members.is_empty() => continue,
            _ => fit(
                &members,
                Fit { nodes: points.len(), unlike_min: if class == 0 { UNLIKE / 2 } else { UNLIKE_MIN } },
                &walk,
            )?,
        };
    }
    Ok(table)
}

/// The likeness below which a query is of the next class: that of nearly all queries like the data, then that of one
/// half of the others.
fn class_bounds(samples: &[Sample], looks: &[f32]) -> [f32; CLASSES - 1] {
    let mut like: Vec<f32> =
        samples.iter().filter(|sample| sample.origin.is_like_the_data()).map(|sample| sample.likeness).collect();
    like.sort_unstable_by(f32::total_cmp);
    let (Some(&least), Some(&median)) = (like.get(like.len() / LOOKS_UNLIKE), like.get(like.len() / 2)) else {
        return [f32::NEG_INFINITY; CLASSES - 1];
    };
    // Later queries are more than the samples, and a short search finds less than these have.
    let first = least - SLACK * (median - least);
    let mut unlike: Vec<f32> = samples
        .iter()
        .zip(looks)
        .filter(|(sample, looks)| sample.origin.is_made_unlike() && **looks < first)
        .map(|(_, looks)| *looks)
        .collect();
    unlike.sort_unstable_by(f32::total_cmp);
    let second = unlike.get(unlike.len() / 2).filter(|_| unlike.len() >= 4 * KIND_MIN);
    [first, second.copied().unwrap_or(f32::NEG_INFINITY)]
}

/// What the fit of one class depends on beside its samples.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    pub nodes: usize,
    /// The samples of a kind of query unlike the data that a class has at least, if the kind counts in it. Few of them
    /// among queries like the data do not make these dearer.
    pub unlike_min: usize,
}

/// The ef for each of `RESULTS` and `RECALLS` that the samples of one class need.
pub(super) fn fit(members: &[&Sample], Fit { nodes, unlike_min }: Fit, walk: &Walks<'_>) -> Result<EfRows> {
    let mut reached: [Vec<(f32, f32)>; 2] = Default::default();
    let mut ef = RESULTS[0];
    loop {
        let walked = walk(members, ef)?;
        let shares = sure_shares(members, &walked, unlike_min);
        for ((curve, share), results) in reached.iter_mut().zip(shares).zip(RESULTS) {
            if ef >= results {
                curve.push((ef as f32, share));
            }
        }
        let is_enough =
            |curve: &Vec<(f32, f32)>| curve.last().is_some_and(|&(_, recall)| recall >= RECALLS[RECALLS.len() - 1]);
        let visited: usize = walked.iter().map(|walked| walked.visited).sum();
        if reached.iter().all(is_enough)
            || ef >= nodes.min(EF_MAX)
            || (ef > RESULTS[1] && visited > members.len() * nodes / VISITED_MOST)
        {
            break;
        }
        ef = next_ef(ef).min(nodes.max(RESULTS[0])).min(EF_MAX);
    }
    Ok(reached.map(|curve| RECALLS.map(|recall| smallest_ef(&curve, recall))))
}

/// The share that was surely found, for each of `RESULTS`: that of the kind of query that found least. Of moved
/// vectors there are few samples, so what chance may have taken is added, and queries unlike the data count less what
/// chance may have added: their shares differ most. Many of them have one best node, which hardly any link may lead
/// to, so they are to find the best node as often as the others.
fn sure_shares(members: &[&Sample], walked: &[Walked], unlike_min: usize) -> [f32; 2] {
    [0, 1].map(|row| {
        let mut all = Mean::default();
        let mut kinds = [[Mean::default(); 2]; KINDS.len()];
        for (sample, walked) in members.iter().zip(walked) {
            let share = walked.shares.get(row).copied().unwrap_or(0.0);
            all.add(share);
            if let Some(kind) = kinds.get_mut(sample.origin as usize) {
                kind.iter_mut().zip([share, walked.best]).for_each(|(mean, share)| mean.add(share));
            }
        }
        let least = |origin: SampleOrigin| if origin.is_made_unlike() { unlike_min } else { KIND_MIN };
        let counted = kinds.iter().zip(KINDS).filter(|([kind, _], origin)| kind.count >= least(*origin) as f32);
        let sure = counted.map(|([kind, best], origin)| match origin {
            SampleOrigin::Stored | SampleOrigin::Asked => kind.mean(),
            SampleOrigin::Moved => kind.mean() + kind.error(),
            SampleOrigin::Opposite | SampleOrigin::Direction => kind.less_chance().min(best.less_chance()),
        });
        sure.reduce(f32::min).unwrap_or(all.mean())
    })
}

/// A mean of shares, and its error.
#[derive(Clone, Copy, Default)]
struct Mean {
    count: f32,
    sum: f32,
    squares: f32,
}

impl Mean {
    fn add(&mut self, share: f32) {
        self.count += 1.0;
        self.sum += share;
        self.squares += share * share;
    }

    fn mean(&self) -> f32 {
        self.sum / self.count.max(1.0)
    }

    /// The mean less what chance may have added.
    fn less_chance(&self) -> f32 {
        self.mean() - CHANCE * self.error()
    }

    /// The standard error.
    fn error(&self) -> f32 {
        let variance = (self.squares / self.count.max(1.0) - self.mean() * self.mean()).max(0.0);
        (variance / self.count.max(1.0)).sqrt()
    }
}

/// At most `count` of `all`, at equal distances.
fn spread_over<T>(all: &[T], count: usize) -> impl Iterator<Item = &T> {
    let count = count.min(all.len());
    (0..count).filter_map(move |number| all.get(number * all.len() / count))
}

/// The next larger ef to try. No number of results is skipped.
fn next_ef(ef: usize) -> usize {
    let step = if ef < RESULTS[1] { STEP } else { LONG_STEP };
    let next = (ef as f32 * step).ceil() as usize;
    RESULTS.into_iter().find(|&results| ef < results && results < next).unwrap_or(next)
}

/// The ef at which a curve of (ef, recall) first reaches `recall`, interpolated. [`EF_NEVER`] if it never does.
fn smallest_ef(curve: &[(f32, f32)], recall: f32) -> u32 {
    let Some(at) = curve.iter().position(|&(_, reached)| reached >= recall) else { return EF_NEVER };
    let (ef, reached) = curve[at];
    let Some((before, below)) = at.checked_sub(1).map(|before| curve[before]) else { return ef as u32 };
    // Between two steps the logarithm of what is missed is nearly linear in that of ef.
    let missed = |recall: f32| (1.0 - recall).max(MISSED_LEAST).ln();
    let share = (missed(below) - missed(recall)) / (missed(below) - missed(reached)).max(f32::MIN_POSITIVE);
    (before * (ef / before).powf(share.clamp(0.0, 1.0))).ceil() as u32
}

/// The numbers below `nodes` that serve as queries: a random one of each of some equal intervals.
pub(crate) fn spread(nodes: usize) -> Vec<u32> {
    let count = (nodes / NODES_PER_SAMPLE).clamp(SAMPLES_MIN, SAMPLES_MAX).min(nodes);
    let mut state = nodes as u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..count)
        .map(|index| {
            let (start, end) = (index * nodes / count, (index + 1) * nodes / count);
            (start + next() % (end - start).max(1)) as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Kernels;
    use crate::graph::{Parameters, build};
    use crate::ids::{Id, IdRange};
    use crate::quant::{self, CodeMeta};
    use crate::random::Random;
    use crate::types::Metric;

    #[test]
    fn efforts_rise_keep_their_promise_and_do_not_depend_on_threads() {
        let (nodes, dims, stride) = (3_000, 16, quant::stride(16));
        let mut random = Random::new(5);
        let vectors: Vec<f32> = (0..(nodes + 200) * dims).map(|_| random.unit() / 2.0).collect();
        let vector = |node: NodeId| &vectors[node.index() * dims..][..dims];
        let mut codes = vec![0; nodes * stride];
        let encode =
            |(node, code): (usize, &mut [i8])| quant::encode(Kernels::get(), vector(NodeId::from_index(node)), code);
        let metas: Vec<CodeMeta> = codes.chunks_mut(stride).enumerate().map(encode).collect();
        let points = Points::new(&codes, &metas, stride, Metric::L2);
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Few links, so that high recall needs a large ef.
        let parameters = Parameters { m: 4, m0: 8, ef_construction: 16, ..Parameters::default() };
        let built = build(&points, &parameters, &[], &pool(2), &|| Ok(())).unwrap();
        let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
        let vector_of = |node| Ok(vector(node));
        let sampled = Sampled::of_nodes(nodes, &vector_of);
        let table = calibrate(graph, &points, &sampled, &pool(1), &|| Ok(())).unwrap();
        assert_eq!(table, calibrate(graph, &points, &sampled, &pool(3), &|| Ok(())).unwrap());
        assert!(table.ef[0].iter().all(|row| row.is_sorted()) && table.ef[0][0][0] < table.ef[0][0][4], "{table:?}");
        assert!(table.visits.is_sorted() && table.visits[0] > 10, "{table:?}");

        // Queries that are not among the vectors.
        let asking: Vec<Recipe> = NodeId::range(nodes as u32..nodes as u32 + 200)
            .ids()
            .map(|node| Recipe::Made { node, origin: SampleOrigin::Stored })
            .collect();
        let samples = samples(&asking, &points, &vector_of, &|| Ok(())).unwrap();
        for (column, recall) in RECALLS.into_iter().enumerate() {
            for (row, results) in RESULTS.into_iter().enumerate() {
                let ef = table.ef(0, recall, results);
                let found: f32 = samples.iter().map(|sample| sample.walk(graph, &points, ef).shares[row]).sum();
                let found = found / samples.len() as f32;
                assert!(found >= recall - 0.02, "{results} results at {recall}: {found} with ef {ef}");
                assert!(column > 1 || found < 0.995, "{results} results at {recall}: {found} is far more than asked");
            }
        }
    }

    #[test]
    fn hundreds_of_equal_vectors_do_not_make_the_others_expensive() {
        let (nodes, dims, stride) = (8_000, 8, quant::stride(8));
        let vector = |node: usize| if node.is_multiple_of(2) { 1.0 } else { ((node * 7_919) % 1_009) as f32 / 100.0 };
        let vectors: Vec<f32> =
            (0..nodes * dims).map(|at| vector(at / dims) * (1 + at % dims * at / dims % 5) as f32).collect();
        let equal = vec![1.0_f32; dims];
        let of = |node: NodeId| {
            Ok(if node.0.is_multiple_of(2) { &equal[..] } else { &vectors[node.index() * dims..][..dims] })
        };
        let mut codes = vec![0; nodes * stride];
        let encode = |(node, code): (usize, &mut [i8])| {
            quant::encode(Kernels::get(), of(NodeId::from_index(node)).unwrap(), code)
        };
        let metas: Vec<CodeMeta> = codes.chunks_mut(stride).enumerate().map(encode).collect();
        let points = Points::new(&codes, &metas, stride, Metric::L2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let built = build(&points, &Parameters::default(), &[], &pool, &|| Ok(())).unwrap();
        let graph = Graph::check(nodes as u32, &Parameters::default(), &built.links, &built.upper).unwrap();
        let table = calibrate(graph, &points, &Sampled::of_nodes(nodes, &of), &pool, &|| Ok(())).unwrap();
        assert!(table.ef[0][0][0] <= 60 && table.ef[0][1][0] <= 150, "{table:?}");
    }

    #[test]
    fn the_smallest_graphs_have_a_table_too() {
        for nodes in [1, 2, 9, 40] {
            let (dims, stride) = (4, quant::stride(4));
            let vectors: Vec<f32> = (0..nodes * dims).map(|at| (at * 37 % 11) as f32 - 5.0).collect();
            let mut codes = vec![0; nodes * stride];
            let rows = codes.chunks_mut(stride).zip(vectors.chunks(dims));
            let metas: Vec<CodeMeta> = rows.map(|(code, vector)| quant::encode(Kernels::get(), vector, code)).collect();
            let points = Points::new(&codes, &metas, stride, Metric::Cosine);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let parameters = Parameters::default();
            let built = build(&points, &parameters, &[], &pool, &|| Ok(())).unwrap();
            let graph = Graph::check(nodes as u32, &parameters, &built.links, &built.upper).unwrap();
            let vector_of = |node: NodeId| Ok(&vectors[node.index() * dims..][..dims]);
            let sampled = Sampled::of_nodes(nodes, &vector_of);
            let table = calibrate(graph, &points, &sampled, &pool, &|| Ok(())).unwrap();
            assert!(table.ef.iter().flatten().flatten().all(|&ef| ef >= 1), "{nodes}: {table:?}");
            let stopped = calibrate(graph, &points, &sampled, &pool, &|| Err(crate::error::Error::invalid("stop")));
            assert!(stopped.is_err());
        }
    }
}
