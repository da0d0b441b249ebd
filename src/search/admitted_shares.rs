//! What a walk over the admitted nodes of a graph needs: decided from their share of the nodes, and from the share of
//! their links that lead to each other.
//!
//! A filter by chance leaves both shares alike. Where the links are more, the filter is correlated with the vectors.
//! Where hardly a link leaves the admitted nodes, they are islands.
//!
//! Invariant: all decisions are pure. Their figures were measured, as the constants say.

/// A walk over the admitted nodes alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WalkOverAdmitted {
    /// The nodes that it may find.
    pub nodes: usize,
    pub ef: usize,
    /// Admitted nodes where the walk begins, beside those that the upper levels lead to.
    pub seeds: usize,
}

/// Which nodes a walk is admitted to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdmittedShares {
    /// How many they are, exactly: a walk that found as many has found all.
    pub count: usize,
    /// Their share of the nodes.
    pub nodes: f64,
    /// The share of their links that lead to admitted nodes.
    pub links: f64,
}

impl AdmittedShares {
    /// How much more often they are linked to each other than by chance.
    fn by_chance(&self) -> f64 {
        self.links.max(f64::MIN_POSITIVE) / self.nodes.max(f64::MIN_POSITIVE)
    }

    /// Whether the admitted nodes are clusters that hardly any link leaves: a walk that begins in one does not find
    /// the others, and a larger ef helps little.
    fn are_islands(&self) -> bool {
        self.links >= ISLANDS.0 && self.by_chance() >= ISLANDS.1
    }

    /// How much more than a walk an exact search may cost, so that it is preferred.
    pub fn exact_search_worth(&self) -> f64 {
        let (few, many) = NEARLY_ISLANDS;
        let nearly = if self.are_islands() { 1.0 } else { ((self.by_chance() - few) / (many - few)).clamp(0.0, 1.0) };
        EXACT_SEARCH_WORTH + nearly * (EXACT_SEARCH_OF_ISLANDS_WORTH - EXACT_SEARCH_WORTH)
    }

    /// The ef that such a walk needs where a walk over all nodes needs `ef`. If the admitted nodes are spread by
    /// chance, it needs less, since it compares second neighbours too, unless few links are left. If they are linked
    /// to each other more often than by chance, the filter is correlated with the vectors: then they lie in clusters,
    /// mostly far from the query, and the fewer links they have, the more such a walk misses. Between islands it is a
    /// multiple of this.
    fn ef(&self, ef: usize) -> usize {
        let by_chance = self.by_chance();
        let correlated = ((by_chance - CORRELATED.0) / (CORRELATED.1 - CORRELATED.0)).clamp(0.0, 1.0);
        let clusters = by_chance.powf(EF_BY_CLUSTERS) * self.links.clamp(LINKS_AT_LEAST, 1.0).powf(EF_BY_LINKS);
        let linked = ((self.links - FEW_LINKS.0) / (FEW_LINKS.1 - FEW_LINKS.0)).clamp(0.0, 1.0);
        // Where nearly all nodes are admitted, a row of links has no room for second neighbours.
        let linked = linked * ((1.0 - self.nodes) / MANY_NODES).clamp(0.0, 1.0);
        let second_neighbours = 1.0 - linked * (1.0 - WITH_SECOND_NEIGHBOURS) * (1.0 - correlated / 2.0);
        (ef as f64 * second_neighbours * (1.0 + correlated * (clusters.max(1.0) - 1.0))).ceil() as usize
    }

    /// Whether a walk begins among all nodes: if the nodes around a query are admitted, such a walk finds what it needs
    /// and costs less. They are, if the nodes are admitted by chance, nearly all of them, or are islands and the query
    /// lies in one.
    pub fn begins_among_all(&self) -> bool {
        self.are_islands() || self.nodes >= NEARLY_ALL || self.nodes >= MANY && self.leaving() >= ISLANDS_LEAVE.1
    }

    /// The share of the nodes around a query that are admitted, if it does not lie outside of the admitted nodes.
    pub fn around(&self) -> f64 {
        if self.are_islands() { 1.0 } else { self.nodes }
    }

    /// The share of the links of admitted nodes that lead to others, where by chance it would be 1.
    fn leaving(&self) -> f64 {
        (1.0 - self.links) / (1.0 - self.nodes).max(f64::MIN_POSITIVE)
    }

    /// A walk over the admitted nodes for a query that lies outside of them, where a walk over all nodes needs `ef`.
    /// The more rarely links leave the admitted nodes, the more it is like one among islands. `None` if they are
    /// admitted by chance: then no query lies outside.
    pub fn outside(&self, ef: usize) -> Option<WalkOverAdmitted> {
        let (islands, chance) = ISLANDS_LEAVE;
        let apart = if self.are_islands() { 1.0 } else { (chance - self.leaving()) / (chance - islands) }.min(1.0);
        let ef = self.ef(ef) as f64 * (1.0 + apart * (self.among_islands() - 1.0));
        let seeds = SEEDS + (apart * (SEEDS_OF_ISLANDS - SEEDS) as f64) as usize;
        (apart > 0.0).then_some(WalkOverAdmitted { nodes: self.count, ef: ef.ceil() as usize, seeds })
    }

    /// A walk over the admitted nodes for a query whose surroundings say nothing of them.
    pub fn among(&self, ef: usize) -> WalkOverAdmitted {
        WalkOverAdmitted { nodes: self.count, ef: self.ef(ef), seeds: SEEDS }
    }

    /// How many times that ef a query needs that lies between islands: many of them hold a result.
    fn among_islands(&self) -> f64 {
        (EF_AMONG_ISLANDS * self.nodes.powf(EF_BY_ISLANDS)).max(1.0)
    }
}

// Fitted to 70,137 sentence embeddings with filters that pass from 7 % to 50 %, so that each found 0.95 where 0.95 was
// asked: of random attributes, and of attributes of the text.

/// A filter whose links are so much more frequent than by chance begins to be correlated, and is wholly correlated.
const CORRELATED: (f64, f64) = (1.5, 2.0);
/// With this share of links, and so much more than by chance, nodes are islands. Then a walk begins at many of them:
/// of 1,000,000 vectors in 2,000 clusters, a filter that passes 300 clusters found 0.76 of the results from few.
const ISLANDS: (f64, f64) = (0.8, 1.3);
const SEEDS: usize = 8;
const SEEDS_OF_ISLANDS: usize = 1_024;
/// How much larger the ef is between islands if all nodes were such, and the power by which it grows with their share:
/// the more islands there are, the more of them hold a result.
const EF_AMONG_ISLANDS: f64 = 22.8;
const EF_BY_ISLANDS: f64 = 0.7;
/// The share of links that leave the admitted nodes, of the share by chance, at and below which they are like islands,
/// and at and above which they are admitted by chance.
const ISLANDS_LEAVE: (f64, f64) = (0.25, 0.75);
/// With so many of the nodes admitted a walk begins among all nodes, and if they are admitted by chance, with so many.
/// Of sentence embeddings such a walk took 0.9 times as long as one over a half by chance, and 1.15 times as long as
/// one over three tenths.
const NEARLY_ALL: f64 = 0.7;
const MANY: f64 = 0.45;
const EF_BY_CLUSTERS: f64 = 0.4;
const EF_BY_LINKS: f64 = -0.8;
const LINKS_AT_LEAST: f64 = 0.1;
/// With this share of the links left a walk begins to need less, and needs least.
const FEW_LINKS: (f64, f64) = (0.06, 0.12);
/// A share of nodes that leaves less room than this beside them saves less of the ef.
const MANY_NODES: f64 = 0.5;
/// The part of the ef that a walk with second neighbours needs at least. A correlated filter saves half as much.
const WITH_SECOND_NEIGHBOURS: f64 = 0.75;

/// A flat search that costs this much more than a walk over admitted nodes is preferred: it misses nothing.
const EXACT_SEARCH_WORTH: f64 = 1.25;
/// The same where admitted nodes are islands, or nearly, or where a walk does not know them: it costs more than was
/// expected as often as not, since a second one or a flat search follows. Of 1,000,000 vectors in 2,000 clusters, 60 of
/// which pass, a walk and the flat search that followed took twice as long as the flat search alone.
pub(crate) const EXACT_SEARCH_OF_ISLANDS_WORTH: f64 = 2.5;
/// From so much more links than by chance on, a filter comes nearer to islands, and is as bad.
const NEARLY_ISLANDS: (f64, f64) = (6.0, 16.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_over_some_nodes_takes_the_ef_that_their_links_need() {
        for (nodes, links, expected) in [
            (1.0, 1.0, 100),
            (0.99, 0.99, 100),
            (0.75, 0.75, 88),
            (0.5, 0.5, 75),
            (0.15, 0.15, 75),
            (0.09, 0.09, 88),
            (0.05, 0.05, 100),
            // Correlated with the vectors.
            (0.5, 1.0, 116),
            (0.15, 0.9, 195),
            (0.15, 0.45, 258),
            (0.0, 0.0, 100),
        ] {
            let shares = AdmittedShares { count: 1, nodes, links };
            assert_eq!(shares.ef(100), expected, "{nodes} of the nodes, {links} of the links");
        }
    }

    #[test]
    fn a_walk_begins_among_all_nodes_if_those_around_the_query_are_likely_to_be_admitted() {
        for (nodes, links, begins, around, outside) in [
            (1.0, 1.0, true, 1.0, Some((2_280, 1_024))),
            (0.9, 0.9, true, 0.9, None),
            (0.9, 0.95, true, 0.9, Some((1_054, 515))),
            (0.9, 0.99, true, 0.9, Some((2_013, 1_024))),
            (0.5, 0.5, true, 0.5, None),
            // Correlated with the vectors, and islands.
            (0.5, 0.7, false, 0.5, Some((369, 312))),
            (0.5, 0.98, true, 1.0, Some((1_586, 1_024))),
            (0.15, 0.15, false, 0.15, None),
            (0.15, 0.95, true, 1.0, Some((1_155, 1_024))),
        ] {
            let shares = AdmittedShares { count: 1, nodes, links };
            let context = format!("{nodes} of the nodes, {links} of the links");
            assert_eq!((shares.begins_among_all(), shares.around()), (begins, around), "{context}");
            let expected = outside.map(|(ef, seeds)| WalkOverAdmitted { nodes: 1, ef, seeds });
            assert_eq!(shares.outside(100), expected, "{context}");
            let among = WalkOverAdmitted { nodes: 1, ef: shares.ef(100), seeds: SEEDS };
            assert_eq!(shares.among(100), among, "{context}");
        }
    }

    #[test]
    fn an_exact_search_is_worth_more_the_nearer_the_admitted_nodes_are_to_islands() {
        for (nodes, links, expected) in [
            (0.5, 0.5, 1.25),
            (0.05, 0.3, 1.25),
            (0.05, 0.55, 1.875),
            (0.03, 0.6, 2.5),
            (0.5, 1.0, 2.5),
            (0.0, 0.0, 1.25),
        ] {
            let worth = AdmittedShares { count: 1, nodes, links }.exact_search_worth();
            assert!((worth - expected).abs() < 1e-9, "{nodes} of the nodes, {links} of the links: {worth}");
        }
    }
}
