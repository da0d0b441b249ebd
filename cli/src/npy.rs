//! Matrices in `.npy` files (numpy's format, versions 1 to 3), row by row: reading f16, f32 and f64, i32 and i64,
//! writing f32.
//!
//! ```text
//! OFFSET  SIZE  MEANING
//! 0       6     93 4E 55 4D 50 59, "\x93NUMPY"
//! 6       2     version: major, minor
//! 8       2     length of the header, u16 (version 1); 4 bytes, u32, in versions 2 and 3
//! 10/12   n     header: a Python dict such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 384), }, padded, then \n
//! then          rows x columns numbers, row after row, little endian
//! ```
//!
//! Invariants:
//! * At most one row is in memory; nothing is allocated by what the header claims.
//! * The length of the file is compared with the header when it is opened: a truncated one is refused before a row is
//!   read.

use std::fs::File;
use std::io::{BufReader, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vecmem::limits;

use crate::output::counted;

/// Longest header that is read; numpy pads a matrix's to 128 bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// What a written header takes with its preamble, whatever the number of rows.
const WRITTEN_HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 6] = b"\x93NUMPY";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    F16,
    F32,
    F64,
    I32,
    I64,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::I32 | Self::I64)
    }
}

/// A matrix that is read row by row.
pub struct Npy<R> {
    name: String,
    reader: R,
    number: Number,
    rows: u64,
    dims: usize,
    start: u64,
    next: u64,
    row: Vec<u8>,
}

impl Npy<BufReader<File>> {
    /// Opens the matrix in a file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, false)
    }

    /// Opens a matrix of integers in a file.
    pub fn open_integers(path: &Path) -> Result<Self> {
        Self::open_with(path, true)
    }

    fn open_with(path: &Path, integers: bool) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        Self::with_numbers(name, BufReader::with_capacity(256 << 10, file), integers)
    }
}

impl<R: Read + Seek> Npy<R> {
    /// Reads the header of `reader`, called `name` in messages, and checks it against the length.
    pub fn new(name: impl Into<String>, reader: R) -> Result<Self> {
        Self::with_numbers(name.into(), reader, false)
    }

    fn with_numbers(name: String, mut reader: R, integers: bool) -> Result<Self> {
        let header = read_header(&mut reader).with_context(|| name.clone())?;
        let (number, rows, dims) = parse_header(&header, integers).with_context(|| name.clone())?;
        let start = reader.stream_position().with_context(|| name.clone())?;
        let length = reader.seek(SeekFrom::End(0)).with_context(|| format!("cannot tell the length of {name}"))?;
        let wanted = (dims as u64 * number.bytes() as u64).checked_mul(rows).and_then(|bytes| bytes.checked_add(start));
        match wanted {
            Some(wanted) if wanted == length => {}
            Some(wanted) if wanted < length => {
                bail!(
                    "{name} holds {} more than {} of {dims} numbers; write it again with numpy.save",
                    counted(length - wanted, "byte"),
                    counted(rows, "row")
                )
            }
            _ => bail!(
                "{name} is truncated: its header says {} of {dims} numbers, but the file has {}; make it again",
                counted(rows, "row"),
                counted(length, "byte")
            ),
        }
        reader.seek(SeekFrom::Start(start)).with_context(|| name.clone())?;
        let row = vec![0; dims * number.bytes()];
        Ok(Self { name, reader, number, rows, dims, start, next: 0, row })
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Numbers in one row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes `row` the next to be read.
    pub fn seek_row(&mut self, row: u64) -> Result<()> {
        ensure!(row <= self.rows, "{} has no row {row}; it has {} (counted from 0)", self.name, self.rows);
        let at = self.start + row * self.row.len() as u64;
        self.reader.seek(SeekFrom::Start(at)).with_context(|| format!("cannot read {}", self.name))?;
        self.next = row;
        Ok(())
    }

    /// The next row; `None` after the last.
    pub fn next_row(&mut self) -> Result<Option<Vec<f32>>> {
        if !self.read_row()? {
            return Ok(None);
        }
        let row = match self.number {
            Number::F16 => self.row.as_chunks().0.iter().map(|&bytes| f16_to_f32(u16::from_le_bytes(bytes))).collect(),
            Number::F32 => self.row.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Number::F64 => self.row.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
            Number::I32 | Number::I64 => bail!("{} holds integers", self.name),
        };
        Ok(Some(row))
    }

    /// The next row of a matrix of integers; `None` after the last.
    pub fn next_integers(&mut self) -> Result<Option<Vec<i64>>> {
        if !self.read_row()? {
            return Ok(None);
        }
        let row = match self.number {
            Number::I32 => self.row.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes).into()).collect(),
            Number::I64 => self.row.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            Number::F16 | Number::F32 | Number::F64 => bail!("{} holds no integers", self.name),
        };
        Ok(Some(row))
    }

    /// Reads the bytes of the next row; false after the last.
    fn read_row(&mut self) -> Result<bool> {
        if self.next == self.rows {
            return Ok(false);
        }
        self.reader
            .read_exact(&mut self.row)
            .with_context(|| format!("cannot read row {} of {}", self.next, self.name))?;
        self.next += 1;
        Ok(true)
    }

    /// Row `row`, counted from 0.
    pub fn row(&mut self, row: u64) -> Result<Vec<f32>> {
        self.seek_row(row)?;
        let found = self.next_row()?;
        found.with_context(|| format!("{} has no row {row}; it has {} (counted from 0)", self.name, self.rows))
    }
}

fn read_header(reader: &mut impl Read) -> Result<String> {
    let mut preamble = [0; 8];
    reader.read_exact(&mut preamble).context("too short to be a .npy file")?;
    ensure!(preamble.starts_with(MAGIC), "not a .npy file; write one with numpy.save(FILE, array.astype(\"float32\"))");
    let mut length = [0; 4];
    match preamble[6] {
        1 => reader.read_exact(&mut length[..2]),
        2 | 3 => reader.read_exact(&mut length),
        version => bail!("version {version} of the .npy format is unknown; versions 1 to 3 can be read"),
    }
    .context("the .npy header is truncated")?;
    let length = u32::from_le_bytes(length) as usize;
    ensure!(length <= HEADER_BYTES_MAX, "the .npy header claims {length} bytes; a matrix needs about 100");
    let mut header = vec![0; length];
    reader.read_exact(&mut header).context("the .npy header is truncated")?;
    String::from_utf8(header).ok().context("the .npy header is not text")
}

/// (kind of number, rows, columns) of a header.
fn parse_header(header: &str, integers: bool) -> Result<(Number, u64, usize)> {
    let field = |name: &str| {
        let quoted = [format!("'{name}'"), format!("\"{name}\"")];
        let after = quoted.iter().find_map(|quoted| header.split_once(quoted.as_str()))?.1;
        Some(after.trim_start().strip_prefix(':')?.trim_start())
    };
    let descr = field("descr").context("the .npy header has no 'descr'")?;
    let number = match descr.get(1..4) {
        Some("<f2") => Some(Number::F16),
        Some("<f4") => Some(Number::F32),
        Some("<f8") => Some(Number::F64),
        Some("<i4") => Some(Number::I32),
        Some("<i8") => Some(Number::I64),
        _ => None,
    };
    let Some(number) = number.filter(|number| number.is_integer() == integers) else {
        let found: String = descr.chars().take_while(|&c| c != ',').take(20).collect();
        let (wanted, first) = if integers { ("'<i4' or '<i8'", "<i4") } else { ("'<f2', '<f4' or '<f8'", "<f4") };
        bail!("its numbers are {found}, not {wanted}; convert them with array.astype(\"{first}\")")
    };
    let order = field("fortran_order").context("the .npy header has no 'fortran_order'")?;
    ensure!(
        order.starts_with("False"),
        "it is stored column by column; convert it with numpy.ascontiguousarray(array)"
    );
    let shape = field("shape").and_then(|text| text.strip_prefix('(')?.split_once(')'));
    let shape = shape.context("the .npy header has no 'shape'")?.0;
    let sizes: Option<Vec<u64>> =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).take(8).map(|size| size.parse().ok()).collect();
    match sizes.as_deref() {
        Some(&[rows, dims]) => {
            let legal = (1..=limits::DIMENSIONS as u64).contains(&dims);
            ensure!(legal, "its rows have {dims} numbers; a vector has 1 to {}", limits::DIMENSIONS);
            Ok((number, rows, dims as usize))
        }
        _ => bail!("its shape is ({shape}), not (rows, dimensions); a single vector needs array.reshape(1, -1)"),
    }
}

fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let fraction = u32::from(bits & 0x3FF);
    let magnitude = match u32::from(bits >> 10) & 0x1F {
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        0x1F => 0x7F80_0000 | fraction << 13,
        exponent => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// A matrix of f32 that is written row by row.
pub struct NpyWriter<W: Write + Seek> {
    file: BufWriter<W>,
    rows: u64,
    dims: usize,
}

impl<W: Write + Seek> NpyWriter<W> {
    /// Begins a matrix with `dims` columns in an empty file.
    pub fn begin(file: W, dims: usize) -> Result<Self> {
        let mut file = BufWriter::with_capacity(256 << 10, file);
        file.write_all(&header(0, dims))?;
        Ok(Self { file, rows: 0, dims })
    }

    /// Appends one row; its length must be the matrix's.
    pub fn write_row(&mut self, row: &[f32]) -> Result<()> {
        ensure!(row.len() == self.dims, "a row of {} numbers in a matrix of {}", row.len(), self.dims);
        for number in row {
            self.file.write_all(&number.to_le_bytes())?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the number of rows into the header. Returns the file, with everything written to it.
    pub fn finish(mut self) -> Result<W> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.rows, self.dims))?;
        Ok(self.file.into_inner().map_err(IntoInnerError::into_error)?)
    }
}

fn header(rows: u64, dims: usize) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dims}), }}");
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(((WRITTEN_HEADER_BYTES - 10) as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(WRITTEN_HEADER_BYTES - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn file(major: u8, header: &str, data: &[u8]) -> Cursor<Vec<u8>> {
        let mut bytes = [MAGIC.as_slice(), &[major, 0]].concat();
        bytes.extend(&(header.len() as u32).to_le_bytes()[..if major == 1 { 2 } else { 4 }]);
        Cursor::new([&bytes, header.as_bytes(), data].concat())
    }

    #[test]
    fn every_half_is_widened_as_its_definition_says() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let wanted = if bits >> 15 == 1 { -magnitude } else { magnitude } as f32;
            let found = f16_to_f32(bits);
            assert!(
                found.to_bits() == wanted.to_bits() || (found.is_nan() && wanted.is_nan()),
                "{bits:#06x}: {found} {wanted}"
            );
        }
    }

    #[test]
    fn all_versions_and_numbers_are_read() {
        let f2 = file(1, "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 1), }", &[0, 0x3C, 0, 0xC0]);
        let mut npy = Npy::new("f2", f2).unwrap();
        assert_eq!((npy.rows(), npy.dims(), npy.row(1).unwrap(), npy.next_row().unwrap()), (2, 1, vec![-2.0], None));
        let f8 = file(3, "{\"shape\": (1,2), \"descr\": \"<f8\", \"fortran_order\": False}", &[0; 16]);
        assert_eq!(Npy::new("f8", f8).unwrap().row(0).unwrap(), [0.0, 0.0]);
        assert_eq!(Npy::new("header", Cursor::new(header(0, 3))).unwrap().dims(), 3);
    }

    #[test]
    fn wrong_files_are_named() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
        let cases = [
            (file(1, good, &[0; 7]), "truncated"),
            (file(1, good, &[0; 9]), "1 byte more"),
            (file(9, good, &[0; 8]), "version 9"),
            (file(1, &good.replace("<f4", ">f4"), &[0; 8]), "astype"),
            (file(1, &good.replace("False", "True"), &[0; 8]), "ascontiguousarray"),
            (file(1, &good.replace("(2, 1)", "(2,)"), &[0; 8]), "reshape"),
            (file(1, &good.replace("(2, 1)", "(2, 0)"), &[]), "1 to 16384"),
            (file(1, &good.replace("(2, 1)", "(18446744073709551615, 16384)"), &[0; 8]), "truncated"),
            (Cursor::new(b"PK\x03\x04 a zip file".to_vec()), "not a .npy file"),
            (Cursor::new(b"\x93NUM".to_vec()), "too short"),
        ];
        for (bytes, wanted) in cases {
            let error = format!("{:#}", Npy::new("x.npy", bytes).err().unwrap());
            assert!(error.contains(wanted) && error.contains("x.npy"), "{error}");
        }
    }
}
