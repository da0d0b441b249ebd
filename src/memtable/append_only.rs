//! Arrays that one thread appends to while any number of other threads read them without a lock.
//!
//! Invariants:
//! * An element never moves, and the array never writes it again once its index is published (an element may hold
//!   atomics of its own). So a reader may keep a reference for as long as it keeps the array.
//! * `length` counts rows that are completely written. The writer stores it with release after the row, and readers
//!   load it with acquire before they read: a row below a loaded length is initialised.
//! * Chunk `c` holds `FIRST << c` rows and starts at row `FIRST * (2^c - 1)`, so the table of chunks is a small fixed
//!   array. A row lies in one chunk: its elements are contiguous. Chunks start at multiples of 64 bytes.
//! * An append takes a lock of the array. The lock is free, since the caller has one writer at a time. It makes a
//!   second writer safe instead of undefined behaviour.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, AtomicUsize, Mutex, Ordering};

/// Rows of the first chunk.
const FIRST: usize = 64;
/// Enough chunks for 2^32 rows.
const CHUNKS: usize = 27;
/// Alignment of a chunk, in bytes.
const ALIGN: usize = 64;

/// An array of rows of `width` elements each; see the module.
pub(crate) struct AppendOnly<T> {
    chunks: [AtomicPtr<T>; CHUNKS],
    width: usize,
    length: AtomicUsize,
    writer: Mutex<()>,
    owns: PhantomData<T>,
}

// SAFETY: readers on several threads get `&T`, and the last owner drops `T` on any thread, hence `T: Send + Sync`. The
// raw pointers own their chunks, and writers exclude each other by `writer`.
unsafe impl<T: Send + Sync> Sync for AppendOnly<T> {}
// SAFETY: the chunks and their elements belong to this value alone.
unsafe impl<T: Send> Send for AppendOnly<T> {}

impl<T> AppendOnly<T> {
    /// An array of single elements.
    pub fn new() -> Self {
        Self::with_width(1)
    }

    /// An array of rows of `width` elements; 0 is taken as 1.
    pub fn with_width(width: usize) -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            width: width.max(1),
            length: AtomicUsize::new(0),
            writer: Mutex::new(()),
            owns: PhantomData,
        }
    }

    /// The number of rows that can be read.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Appends one element to an array of single elements and returns its index; `None` when the array is full (2^32
    /// rows) or its rows are wider.
    pub fn push(&self, value: T) -> Option<u32> {
        if self.width != 1 {
            return None;
        }
        let _writer = self.writer.lock();
        let row = self.length.load(Ordering::Relaxed);
        let at = self.writable(row)?;
        // SAFETY: `at` is valid for a write of one element; no reader touches it, as `length` is still `row`; no other
        // writer does, as this one holds the lock. The slot holds no value yet, so none is leaked.
        unsafe { at.write(value) };
        self.length.store(row + 1, Ordering::Release);
        u32::try_from(row).ok()
    }

    /// The elements of row `index`.
    ///
    /// # Panics
    /// If the row was not published. Indices that `push` and `push_row` return are published.
    #[inline]
    pub fn row(&self, index: u32) -> &[T] {
        let index = index as usize;
        assert!(index < self.len(), "row {index} of an array of {}", self.len());
        let (chunk, offset) = locate(index);
        let start = self.chunks[chunk].load(Ordering::Acquire);
        // SAFETY: `index` is below a length loaded with acquire, so chunk and row were written before; the chunk holds
        // `offset + 1` rows of `width` elements at least, is never moved or freed while `self` is borrowed, and its
        // written elements are never written again.
        unsafe { std::slice::from_raw_parts(start.add(offset * self.width), self.width) }
    }

    /// Element `index` of an array of single elements.
    #[inline]
    pub fn get(&self, index: u32) -> &T {
        &self.row(index)[0]
    }

    /// The place at which to write row `row`, in a chunk that is allocated if necessary; `None` if the array is full.
    /// The caller holds the lock `writer`.
    fn writable(&self, row: usize) -> Option<NonNull<T>> {
        if row > u32::MAX as usize {
            return None;
        }
        let (chunk, offset) = locate(row);
        let slot = &self.chunks[chunk];
        let mut start = slot.load(Ordering::Relaxed);
        if start.is_null() {
            let layout = self.layout(chunk)?;
            // SAFETY: the layout's size is not zero (`layout` refuses it).
            start = unsafe { alloc(layout) }.cast();
            if start.is_null() {
                handle_alloc_error(layout);
            }
            slot.store(start, Ordering::Release);
        }
        // SAFETY: the chunk holds `FIRST << chunk` rows and `offset` is below that, so the sum stays in the allocation.
        NonNull::new(unsafe { start.add(offset * self.width) })
    }

    /// The layout of chunk `chunk`; `None` if its size is zero or overflows.
    fn layout(&self, chunk: usize) -> Option<Layout> {
        let bytes = (FIRST << chunk).checked_mul(self.width)?.checked_mul(size_of::<T>())?;
        if bytes == 0 {
            return None;
        }
        Layout::from_size_align(bytes, ALIGN.max(align_of::<T>())).ok()
    }
}

impl<T: Copy> AppendOnly<T> {
    /// Appends one row and returns its index; `None` when the array is full or `values` is not one row long.
    pub fn push_row(&self, values: &[T]) -> Option<u32> {
        if values.len() != self.width {
            return None;
        }
        let _writer = self.writer.lock();
        let row = self.length.load(Ordering::Relaxed);
        let at = self.writable(row)?;
        // SAFETY: as in `push`, for `width` elements. `values` cannot overlap a row that was not published.
        unsafe { at.as_ptr().copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        self.length.store(row + 1, Ordering::Release);
        u32::try_from(row).ok()
    }
}

impl<T> Drop for AppendOnly<T> {
    fn drop(&mut self) {
        let mut left = *self.length.get_mut();
        for chunk in 0..CHUNKS {
            let start = *self.chunks[chunk].get_mut();
            if start.is_null() {
                break;
            }
            let rows = left.min(FIRST << chunk);
            left -= rows;
            // SAFETY: the first `rows` rows of this chunk are initialised. They are dropped here only and not read
            // again, as `self` is dropped. Then the chunk is freed with the layout that allocated it.
            unsafe {
                ptr::slice_from_raw_parts_mut(start, rows * self.width).drop_in_place();
                if let Some(layout) = self.layout(chunk) {
                    dealloc(start.cast(), layout);
                }
            }
        }
    }
}

/// The chunk of row `index`, and the row's index in that chunk.
#[inline]
fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST + 1).ilog2() as usize;
    (chunk, index - ((FIRST << chunk) - FIRST))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rows_stay_where_they_are_and_keep_their_values() {
        let array = AppendOnly::<u32>::with_width(48);
        let mut first: Option<*const u32> = None;
        for row in 0..5_000_u32 {
            assert_eq!(array.push_row(&[row; 48]), Some(row));
            let start = array.row(0).as_ptr();
            assert_eq!(*first.get_or_insert(start), start);
            assert_eq!(array.row(row), [row; 48]);
        }
        assert!((0..5_000).all(|row| array.row(row) == [row; 48]));
        assert_eq!(array.row(0).as_ptr() as usize % 64, 0);
        assert_eq!(array.push_row(&[1; 47]), None, "a row of the wrong width is refused");
        assert_eq!(array.len(), 5_000);
    }

    #[test]
    fn every_index_has_one_place() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(locate(index), expected);
            expected =
                if expected.1 + 1 == FIRST << expected.0 { (expected.0 + 1, 0) } else { (expected.0, expected.1 + 1) };
        }
        assert!(locate(u32::MAX as usize).0 < CHUNKS);
    }

    #[test]
    fn drops_each_element_once() {
        let counted = Arc::new(());
        let array = AppendOnly::new();
        (0..1_000).for_each(|_| assert!(array.push(Arc::clone(&counted)).is_some()));
        assert_eq!(Arc::strong_count(&counted), 1_001);
        drop(array);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn readers_see_only_whole_rows_while_writers_append() {
        let array = AppendOnly::<u64>::with_width(9);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..20_000_u64).for_each(|value| assert!(array.push_row(&[value; 9]).is_some()));
                });
            }
            scope.spawn(|| {
                while array.len() < 40_000 {
                    if let Some(last) = array.len().checked_sub(1) {
                        let row = array.row(last as u32);
                        assert!(row.iter().all(|&value| value == row[0]));
                    }
                }
            });
        });
        assert_eq!(array.len(), 40_000);
    }
}
