//! Faults of backups, restores, and of what an import remembers.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "backed_up_files_are_removed",
        breaks: "A file that a backup is about to copy is removed when it becomes obsolete.",
        file: "engine/generation.rs",
        find: "if !engine.pins.keep(name) {",
        replacement: "if FAULT || !engine.pins.keep(name) {",
        test: ("backup", "a_purge_ends_a_running_backup::what_became_obsolete_beside_a_backup_goes_when_it_ends"),
    },
    Fault {
        name: "restore_believes_every_file",
        breaks: "A restore takes a file whose checksum is not that of the record.",
        file: "store/backup/restore.rs",
        find: "if placed.crc == recorded.crc {",
        replacement: "if FAULT || placed.crc == recorded.crc {",
        test: ("backup", "every_changed_byte_is_found_by_a_restore::wherever_it_lies"),
    },
    Fault {
        name: "damaged_copy_is_used_again",
        breaks: "A later backup takes a file of the target whose checksum is wrong.",
        file: "store/backup/files.rs",
        find: "if self.read_back(file, steps)? != crc {",
        replacement: "if !FAULT && self.read_back(file, steps)? != crc {",
        test: ("backup", "a_later_backup_copies_what_is_new::a_damaged_file_of_an_earlier_backup_is_copied_again"),
    },
    Fault {
        name: "copies_share_versions",
        breaks: "A condition takes the version of another copy for its own.",
        file: "record/incarnation.rs",
        find: "if incarnation >> KIND != COPY {",
        replacement: "if FAULT || incarnation >> KIND != COPY {",
        test: ("backup", "copies_have_incarnations_of_their_own::a_version_of_one_copy_is_none_of_another_one"),
    },
    Fault {
        name: "import_is_remembered_without_its_items",
        breaks: "A delete of all that an import has written leaves its checkpoint.",
        file: "commit/checkpoints.rs",
        find: "self.by_source.iter().filter(move |(_, reach)| covered(reach))",
        replacement: "self.by_source.iter().filter(move |(_, reach)| covered(reach) && !FAULT)",
        test: (
            "imports",
            "a_delete_of_all_that_an_import_has_written_forgets_it::a_delete_while_the_files_of_a_chunk_wait_for_their_frame",
        ),
    },
];
