//! Verification of a whole segment against its format, every byte and every relation: for `check`, and for tests.
//!
//! Invariants:
//! * Reads are safe without verification. Verification finds damage that a reader would meet only by reading
//!   everything, and damage that no reader can see, such as a key that is missing in the hash table.
//! * If `go_on` fails, a verification ends early. Then its list of problems is incomplete.

use crate::distance::{Kernels, inverse_norm, norm};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{IdRange, RowId, VectorId};
use crate::interrupt::GoOn;
use crate::quant;
use crate::segment::Segment;
use crate::segment::derived::UnopenedState;
use crate::segment::derived::codes::Codes;
use crate::segment::truth::layout::Section;
use crate::types::is_encoded_namespace;

/// Where the next row's vectors, and its value if it is in the truth file, must begin.
#[derive(Clone, Copy)]
struct Next {
    vector: VectorId,
    value: u64,
}

impl Segment {
    /// The problems of the blob files: each file that cannot be read and each block that fails its checksum. If there
    /// are none, each value that cannot be decoded.
    pub fn verify_blobs(&self, go_on: &GoOn<'_>) -> Vec<Error> {
        self.blobs.verify(self, go_on)
    }

    /// The problems of the segment, its blob files and its derived files.
    #[cfg(feature = "testing")]
    pub fn verify(&self) -> Vec<Error> {
        let go_on: &GoOn<'_> = &|| Ok(());
        let mut problems = self.verify_truth(go_on);
        problems.extend(self.verify_derived(problems.is_empty(), go_on));
        problems.extend(self.verify_blobs(go_on));
        problems.extend(self.verify_graphs(go_on).into_iter().map(|(_, error)| error));
        problems
    }

    /// The problems of the truth file: each block that fails its checksum. If there is none, the first relation that
    /// does not hold.
    pub fn verify_truth(&self, go_on: &GoOn<'_>) -> Vec<Error> {
        let mut problems = self.file.check_all(go_on);
        if problems.is_empty() {
            problems.extend(
                self.verify_lists()
                    .and_then(|()| self.verify_namespaces(go_on))
                    .and_then(|()| self.verify_bounds())
                    .err(),
            );
        }
        problems
    }

    /// The problems of the codes and of the field index.
    pub fn verify_derived(&self, truth_is_whole: bool, go_on: &GoOn<'_>) -> Vec<Error> {
        let mut problems = self.verify_all_codes(truth_is_whole, go_on);
        problems.extend(self.verify_fields(truth_is_whole, go_on));
        problems
    }

    /// The problems of the field index: that it did not open, or each block that fails its checksum. If there is none,
    /// and the truth file is undamaged, that it does not follow from the values and its rules.
    fn verify_fields(&self, truth_is_whole: bool, go_on: &GoOn<'_>) -> Vec<Error> {
        let damaged = |why| Error::new(ErrorKind::Damaged, format!("{} has no field index: {why}", self.file.name()));
        let Some(fields) = self.derived.fields() else {
            return self.fields_problem().map(damaged).into_iter().collect();
        };
        // An index tells the rules that it was built by. One that cannot be read does not follow from any.
        let rules = fields.index().map(|index| index.rules()).unwrap_or_default();
        let expected = if truth_is_whole { self.index_values(rules, go_on).ok() } else { None };
        fields.check_all(expected.as_ref(), go_on)
    }

    /// The problems of the codes: that they are missing, or each block that fails its checksum. If there is none, and
    /// the truth file is undamaged, the first code that is not the one of its vector.
    fn verify_all_codes(&self, truth_is_whole: bool, go_on: &GoOn<'_>) -> Vec<Error> {
        let Some(codes) = self.derived.all_codes() else {
            let missing = |why| Error::new(ErrorKind::Damaged, format!("{} has no codes: {why}", self.file.name()));
            return self.codes_problem().map(missing).into_iter().collect();
        };
        let mut problems = codes.check_all(go_on);
        if problems.is_empty() && truth_is_whole {
            problems.extend(self.verify_codes(codes, go_on).err());
        }
        problems
    }

    /// The problems of the graphs, each with the file id of its graph: graphs that did not open, and of an open graph
    /// each block that fails its checksum, or else the first number or relation that does not hold. Of a graph of an
    /// older format only the checksums are compared.
    pub fn verify_graphs(&self, go_on: &GoOn<'_>) -> Vec<(u64, Error)> {
        let unopened = self.unopened_graphs().iter().flat_map(|unopened| {
            let problems = match &unopened.state {
                UnopenedState::Older(file) => file.check_all(go_on),
                _ => vec![Error::new(ErrorKind::Damaged, unopened.why.clone())],
            };
            problems.into_iter().map(|error| (unopened.file_id, error))
        });
        let damaged = self.graphs().iter().flat_map(|graph| {
            graph.check_all(self, self.codes(graph.vectors()), go_on).into_iter().map(|error| (graph.file_id(), error))
        });
        unopened.chain(damaged).collect()
    }

    /// The error `what` about a section.
    fn wrong(&self, section: Section, what: impl std::fmt::Display) -> Error {
        self.file.damaged(self.header.section(section).start, what)
    }

    fn verify_lists(&self) -> Result<()> {
        self.paths()?;
        let mut next = 0;
        for list in 0..=self.header.counts.path_lists {
            let start: u32 = self.cell(Section::PathListStart, list as usize)?;
            if start < next {
                return Err(
                    self.wrong(Section::PathListStart, format!("path list {list} begins before the one before"))
                );
            }
            next = start;
        }
        self.file.ensure(self.header.section(Section::PathListEntry))?;
        let entries = self.column::<u32>(Section::PathListEntry);
        if next as usize != entries.len() || entries.iter().any(|&path| path >= self.header.counts.paths) {
            return Err(self.wrong(Section::PathListEntry, "a path list has a path that does not exist"));
        }
        Ok(())
    }

    fn verify_namespaces(&self, go_on: &GoOn<'_>) -> Result<()> {
        let (mut next_row, mut next) = (RowId(0), Next { vector: VectorId(0), value: 0 });
        let mut before: &[u8] = &[];
        for index in 0..self.namespaces() {
            let namespace = self.namespace(index)?;
            let rows = self.namespace_rows(index)?;
            if namespace <= before || !is_encoded_namespace(namespace) || rows.start != next_row || rows.is_empty() {
                return Err(self.wrong(Section::NamespaceBytes, format!("namespace {index} is out of order or empty")));
            }
            if self.find_namespace(namespace)? != Some(index) {
                return Err(self.wrong(Section::NamespaceBuckets, format!("the hash table lost namespace {index}")));
            }
            let mut key_before = None;
            for row in rows.ids() {
                go_on()?;
                let key = self.key(row)?;
                if key_before.is_some_and(|before| key <= before) {
                    return Err(self.wrong(Section::KeyBytes, format!("the key of row {row} is out of order")));
                }
                if self.find(namespace, key)? != Some(row) {
                    return Err(self.wrong(Section::KeyBuckets, format!("the hash table lost the key of row {row}")));
                }
                next = self.verify_row(row, next)?;
                key_before = Some(key);
            }
            (next_row, before) = (rows.end, namespace);
        }
        let values = self.header.section(Section::Values).len() as u64;
        if (next_row.0, next.vector.0, next.value) != (self.rows(), self.vectors(), values) {
            return Err(self.wrong(Section::NamespaceFirstRow, "rows, vectors or values belong to no namespace or row"));
        }
        Ok(())
    }

    /// Checks one row, whose value and vectors must begin at `next`. Returns where those of the next row must begin.
    fn verify_row(&self, row: RowId, next: Next) -> Result<Next> {
        let (value, vectors) = (self.value_place(row)?, self.row_vectors(row)?);
        if (value.is_inline() && value.offset != next.value) || vectors.start != next.vector {
            return Err(self.wrong(Section::ValueOffset, format!("row {row} does not begin where the row before ends")));
        }
        let value_end = if value.is_inline() {
            next.value + self.value(row)?.len() as u64
        } else {
            self.blob_of(row, &value)?;
            next.value
        };
        let stored = self.row(row)?;
        let path_list: u32 = self.cell(Section::PathList, row.index())?;
        if stored.flags != 0 || path_list > self.header.counts.path_lists {
            return Err(self.wrong(Section::Flags, format!("row {row} has flags or a path list that does not exist")));
        }
        if vectors.len() as u32 > self.header.row_vectors_max {
            return Err(self.wrong(Section::FirstVector, format!("row {row} has more vectors than the header says")));
        }
        self.extensions(row)?;
        for vector in vectors.ids() {
            let values = self.vector(vector)?;
            self.vector_path(vector)?;
            let said: (RowId, u16) = (self.vector_row(vector)?, self.cell(Section::VectorSpaceId, vector.index())?);
            if said != (row, self.header.space_id.0) || self.inverse_norm(vector)? != inverse_norm(norm(values)) {
                return Err(self.wrong(Section::VectorRow, format!("vector {vector} has the wrong row, space or norm")));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(self.wrong(Section::Vectors, format!("vector {vector} has a number that is not finite")));
            }
        }
        Ok(Next { vector: vectors.end, value: value_end })
    }

    fn verify_bounds(&self) -> Result<()> {
        let lsns = self.lsns(self.all_rows())?;
        let (oldest, newest) = (lsns.iter().min(), lsns.iter().max());
        if (oldest, newest) != (Some(&self.header.oldest_lsn.get()), Some(&self.header.newest_lsn.get())) {
            return Err(self.wrong(Section::Lsn, "the LSNs are not within what the header says"));
        }
        self.ensure_rows(self.all_rows(), &[Section::ExpiresAt])?;
        if self.expires_at_column().iter().min() != Some(&self.header.earliest_expiry) {
            return Err(self.wrong(Section::ExpiresAt, "the earliest expiry is not what the header says"));
        }
        Ok(())
    }

    fn verify_codes(&self, codes: &Codes, go_on: &GoOn<'_>) -> Result<()> {
        let mut expected = vec![0; codes.stride()];
        for vector in self.all_vectors().ids() {
            go_on()?;
            let meta = quant::encode(Kernels::get(), self.vector(vector)?, &mut expected);
            if codes.code(vector) != Some((expected.as_slice(), meta)) {
                return Err(codes.wrong_code(vector));
            }
        }
        Ok(())
    }
}
