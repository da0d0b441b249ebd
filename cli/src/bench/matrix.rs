//! What a benchmark reads: vectors from `.npy` and `.fvecs`, lists of nearest rows from `.npy` and `.ivecs`.
//!
//! ```text
//! .fvecs, .ivecs: row after row of
//! OFFSET  SIZE      MEANING
//! 0       4         n, numbers in this row, i32; the same in all rows
//! 4       4 x n     the numbers, f32 or i32
//! ```
//! All little endian. `.npy`: see `npy.rs`.
//!
//! Invariants:
//! * The length of a file is checked against its first row before memory is taken for the others.
//! * Every error names the file, and the row where there is one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vecmem::limits;

use crate::npy::Npy;

/// Rows of equally many numbers, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    /// Numbers in one row, at least 1.
    pub dims: usize,
    /// All rows.
    pub numbers: Vec<T>,
}

/// Vectors.
pub type Vectors = Matrix<f32>;
/// For each query the nearest rows, best first.
pub type Neighbours = Matrix<u32>;

impl<T> Matrix<T> {
    /// How many.
    pub fn rows(&self) -> usize {
        self.numbers.len() / self.dims
    }

    /// One of them.
    pub fn row(&self, row: usize) -> &[T] {
        &self.numbers[row * self.dims..][..self.dims]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        self.numbers.chunks_exact(self.dims)
    }
}

impl Vectors {
    /// The rows without `count` of them that lie evenly between the others, and these; `count` is below the rows.
    pub fn held_out(&self, count: usize) -> (Self, Self) {
        let rows = self.rows();
        let is_held_out = |row: usize| (row + 1) * count / rows > row * count / rows;
        let some = |held_out: bool| -> Self {
            let rows = (0..rows).filter(|row| is_held_out(*row) == held_out);
            Self { dims: self.dims, numbers: rows.flat_map(|row| self.row(row)).copied().collect() }
        };
        (some(false), some(true))
    }
}

/// The vectors in a file, by the ending of its name.
pub fn read_vectors(path: &Path) -> Result<Vectors> {
    match ending(path) {
        "npy" => {
            let mut npy = Npy::open(path)?;
            let mut numbers = Vec::with_capacity(npy.rows() as usize * npy.dims());
            while let Some(row) = npy.next_row()? {
                numbers.extend(row);
            }
            not_empty(path, Matrix { dims: npy.dims(), numbers })
        }
        "fvecs" => read_vecs(path, f32::from_le_bytes),
        _ => bail!("{}: vectors are read from .npy and .fvecs files; this one has neither ending", path.display()),
    }
}

/// The lists of nearest rows in a file, by the ending of its name; each number is below `rows`.
pub fn read_neighbours(path: &Path, rows: usize) -> Result<Neighbours> {
    let found = match ending(path) {
        "npy" => {
            let mut npy = Npy::open_integers(path)?;
            let mut numbers = Vec::with_capacity(npy.rows() as usize * npy.dims());
            while let Some(row) = npy.next_integers()? {
                numbers.extend(row);
            }
            not_empty(path, Matrix { dims: npy.dims(), numbers })?
        }
        "ivecs" => read_vecs(path, |bytes| i64::from(i32::from_le_bytes(bytes)))?,
        _ => bail!("{}: a truth is read from .npy and .ivecs files; this one has neither ending", path.display()),
    };
    let legal = |&number: &i64| u32::try_from(number).ok().filter(|&number| (number as usize) < rows);
    let bad = found.numbers.iter().position(|number| legal(number).is_none());
    if let Some(at) = bad {
        let (row, number) = (at / found.dims, found.numbers[at]);
        bail!("{}: row {row} names the vector {number}, but there are {rows} (counted from 0)", path.display());
    }
    Ok(Matrix { dims: found.dims, numbers: found.numbers.iter().filter_map(legal).collect() })
}

/// Writes vectors as `.fvecs`.
pub fn write_vectors(path: &Path, vectors: &Vectors) -> Result<()> {
    write_vecs(path, vectors, |number| number.to_le_bytes())
}

/// Writes lists of nearest rows as `.ivecs`.
pub fn write_neighbours(path: &Path, neighbours: &Neighbours) -> Result<()> {
    write_vecs(path, neighbours, |number| (number as i32).to_le_bytes())
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or("")
}

fn not_empty<T>(path: &Path, matrix: Matrix<T>) -> Result<Matrix<T>> {
    ensure!(!matrix.numbers.is_empty(), "{} holds no rows", path.display());
    Ok(matrix)
}

fn read_vecs<T>(path: &Path, number: impl Fn([u8; 4]) -> T) -> Result<Matrix<T>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let length = file.metadata().with_context(|| format!("cannot tell the length of {name}"))?.len();
    ensure!(length > 0, "{name} holds no rows");
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut dims = [0; 4];
    file.read_exact(&mut dims).with_context(|| format!("{name} is shorter than one row"))?;
    let first = i32::from_le_bytes(dims);
    let dims = usize::try_from(first).ok().filter(|dims| (1..=limits::DIMENSIONS).contains(dims));
    let dims =
        dims.with_context(|| format!("{name}: its first row has {first} numbers, not 1 to {}", limits::DIMENSIONS))?;
    let row_bytes = 4 + 4 * dims as u64;
    ensure!(
        length.is_multiple_of(row_bytes),
        "{name} is truncated, or its rows differ: {length} bytes are no whole rows of {dims} numbers"
    );
    let rows = (length / row_bytes) as usize;
    let (mut row, mut numbers) = (vec![0; 4 * dims], Vec::with_capacity(rows * dims));
    for at in 0..rows {
        if at > 0 {
            let mut count = [0; 4];
            file.read_exact(&mut count).with_context(|| format!("cannot read row {at} of {name}"))?;
            let count = i32::from_le_bytes(count);
            ensure!(count == first, "{name}: row {at} has {count} numbers, the rows before it {dims}");
        }
        file.read_exact(&mut row).with_context(|| format!("cannot read row {at} of {name}"))?;
        numbers.extend(row.as_chunks().0.iter().map(|&bytes| number(bytes)));
    }
    Ok(Matrix { dims, numbers })
}

fn write_vecs<T: Copy>(path: &Path, matrix: &Matrix<T>, bytes: impl Fn(T) -> [u8; 4]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).with_context(cannot)?);
    for row in matrix.iter() {
        file.write_all(&(matrix.dims as i32).to_le_bytes()).with_context(cannot)?;
        for &number in row {
            file.write_all(&bytes(number)).with_context(cannot)?;
        }
    }
    file.flush().with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let vectors = Matrix { dims: 3, numbers: vec![1.5, -2.0, 0.0, f32::MAX, 1e-30, 7.0] };
        let neighbours = Matrix { dims: 2, numbers: vec![0, 1, 1, 0] };
        let [fvecs, ivecs] = ["a.fvecs", "a.ivecs"].map(|name| directory.path().join(name));
        write_vectors(&fvecs, &vectors).unwrap();
        write_neighbours(&ivecs, &neighbours).unwrap();
        assert_eq!(read_vectors(&fvecs).unwrap(), vectors);
        assert_eq!(read_neighbours(&ivecs, 2).unwrap(), neighbours);
        assert_eq!((vectors.rows(), vectors.row(1)), (2, [f32::MAX, 1e-30, 7.0].as_slice()));
        let error = format!("{:#}", read_neighbours(&ivecs, 1).unwrap_err());
        assert!(error.contains("a.ivecs: row 0 names the vector 1"), "{error}");
    }

    #[test]
    fn integers_of_numpy_are_a_truth() {
        let directory = tempfile::tempdir().unwrap();
        for (descr, bytes) in
            [("<i4", &[7, 0, 0, 0, 2, 0, 0, 0][..]), ("<i8", &[7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])]
        {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 2), }}\n");
            let preamble = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..]].concat();
            let path = file(&directory, "t.npy", &[&preamble, header.as_bytes(), bytes].concat());
            assert_eq!(read_neighbours(&path, 8).unwrap(), Matrix { dims: 2, numbers: vec![7, 2] });
            let error = format!("{:#}", read_vectors(&path).unwrap_err());
            assert!(error.contains("t.npy") && error.contains("<f4"), "{error}");
        }
    }

    #[test]
    fn held_out_rows_lie_evenly_and_the_others_stay() {
        let all = Vectors { dims: 1, numbers: (0..10).map(|row| row as f32).collect() };
        for count in 1..10 {
            let (rows, held_out) = all.held_out(count);
            assert_eq!((rows.rows(), held_out.rows()), (10 - count, count));
            let mut both = [rows.numbers, held_out.numbers].concat();
            both.sort_by(f32::total_cmp);
            assert_eq!(both, all.numbers);
        }
        assert_eq!(all.held_out(2).1.numbers, [4.0, 9.0]);
    }

    #[test]
    fn bad_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let row = |count: i32, numbers: usize| [count.to_le_bytes().to_vec(), vec![0; 4 * numbers]].concat();
        let cases: [(&str, Vec<u8>, &str); 8] = [
            ("x.fvecs", vec![], "holds no rows"),
            ("x.fvecs", vec![2, 0, 0], "shorter than one row"),
            ("x.fvecs", row(0, 1), "0 numbers, not 1 to 16384"),
            ("x.fvecs", row(-1, 1), "-1 numbers"),
            ("x.fvecs", row(i32::MAX, 1), "2147483647 numbers"),
            ("x.fvecs", row(2, 1), "truncated"),
            ("x.fvecs", [row(1, 1), row(2, 1)].concat(), "row 1 has 2 numbers"),
            ("x.bin", row(1, 1), "neither ending"),
        ];
        for (name, bytes, wanted) in cases {
            let path = file(&directory, name, &bytes);
            let error = format!("{:#}", read_vectors(&path).unwrap_err());
            assert!(error.contains(wanted) && error.contains(name), "{error}");
        }
        let error = format!("{:#}", read_neighbours(&directory.path().join("none.ivecs"), 1).unwrap_err());
        assert!(error.contains("cannot open") && error.contains("none.ivecs"), "{error}");
    }
}
