//! Faults of the disk: syncs, checksums, damage.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "no_directory_sync_after_the_manifest",
        breaks: "The name of a manifest is not durable when log files go.",
        file: "engine/generation.rs",
        find: r"        _ => engine.poison(&error),
    })?;
    engine.sync_dir()?;",
        replacement: r"        _ => engine.poison(&error),
    })?;
    if !FAULT {
        engine.sync_dir()?;
    }",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "no_directory_sync_before_the_manifest",
        breaks: "A manifest names files whose names are not durable.",
        file: "engine/generation.rs",
        find: "if !changed.is_empty() || job.is_some() || saved.is_new() {",
        replacement: "if (!changed.is_empty() || job.is_some() || saved.is_new()) && !FAULT {",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "manifest_not_synced",
        breaks: "A manifest is renamed before its bytes are durable.",
        file: "manifest/mod.rs",
        find: r"        let file = storage.create(TEMPORARY)?;
        file.write_at(0, &bytes)?;
",
        replacement: r"        let file = storage.create(TEMPORARY)?;
        file.write_at(0, &bytes)?;
        if FAULT {
            return Ok(());
        }
",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "segment_not_synced",
        breaks: "A manifest names a segment whose bytes are not durable.",
        file: "segment/blocks.rs",
        find: r"        self.file.sync_all()?;
        Ok(FinishedFile",
        replacement: r"        if !FAULT {
            self.file.sync_all()?;
        }
        Ok(FinishedFile",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "tombstones_not_synced",
        breaks: "A manifest names a tombstone file whose bytes are not durable.",
        file: "segment/tombstones/file.rs",
        find: r"        file.write_at(0, &bytes)?;
        file.sync_all()",
        replacement: r"        file.write_at(0, &bytes)?;
        if FAULT {
            return Ok(());
        }
        file.sync_all()",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "log_header_not_synced",
        breaks: "Frames are written to a log file whose header is not durable.",
        file: "wal/writer.rs",
        find: r"        self.current.file.write_at(0, &header.encode())?;
        self.sync_current()?;",
        replacement: r"        self.current.file.write_at(0, &header.encode())?;
        if !FAULT {
            self.sync_current()?;
        }",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_syncs_on_request"),
    },
    Fault {
        name: "log_name_not_durable",
        breaks: "Frames are written to a log file whose name is not durable.",
        file: "engine/space/log_files.rs",
        find: "            self.sync_dir().map(|()| prepared)",
        replacement: r"            if FAULT {
                return Ok(prepared);
            }
            self.sync_dir().map(|()| prepared)",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "full_log_file_not_synced",
        breaks: "The log goes on in the next file before the full one is durable.",
        file: "wal/writer.rs",
        find: r"        self.write_pending()?;
        self.sync_current()?;
        self.syncer.note_all_synced();",
        replacement: r"        self.write_pending()?;
        if !FAULT {
            self.sync_current()?;
        }
        self.syncer.note_all_synced();",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_syncs_on_request"),
    },
    Fault {
        name: "doubtful_frames_not_rewritten",
        breaks: "Frames whose sync failed are taken for durable after the next open.",
        file: "wal/writer.rs",
        find: "let mut offset = if facts.doubt {",
        replacement: "let mut offset = if facts.doubt && !FAULT {",
        test: ("recovery", "a_log_is_believed_as_far_as_it_is_proven::a_frame_whose_sync_failed_is_written_again"),
    },
    Fault {
        name: "failed_sync_tried_again",
        breaks: "A sync that follows a failed one succeeds.",
        file: "wal/syncer.rs",
        find: "sync().inspect_err(|error| *failure = Some(error.duplicate()))",
        replacement: "sync().inspect_err(|error| *failure = Some(error.duplicate()).filter(|_| !FAULT))",
        test: (
            "recovery",
            "a_failed_sync_is_everybodys::whoever_needs_the_log_synced_gets_the_failure_of_the_sync_that_runs",
        ),
    },
    Fault {
        name: "damage_in_the_log_taken_for_its_end",
        breaks: "The log is cut off at a damaged frame, although durable ones follow.",
        file: "wal/replay.rs",
        find: "if remains.durable_lsn > self.facts.last_lsn {",
        replacement: "if remains.durable_lsn > self.facts.last_lsn && !FAULT {",
        test: (
            "recovery",
            "a_log_is_believed_as_far_as_it_is_proven::a_damaged_frame_before_durable_ones_is_no_torn_end",
        ),
    },
    Fault {
        name: "checksum_of_frames_ignored",
        breaks: "The body of a frame is believed without its checksum.",
        file: "wal/window.rs",
        find: "let whole = body_crc(salt, header.first_lsn, body) == header.body_crc;",
        replacement: "let whole = FAULT || body_crc(salt, header.first_lsn, body) == header.body_crc;",
        test: (
            "recovery",
            "a_log_is_believed_as_far_as_it_is_proven::a_damaged_frame_before_durable_ones_is_no_torn_end",
        ),
    },
    Fault {
        name: "blocks_of_cells_not_checked",
        breaks: "One element of a column is read without the checksum of its block.",
        file: "segment/truth/reader.rs",
        find: "        self.file.ensure(start..start + size_of::<T>())?;",
        replacement: r"        if !FAULT {
            self.file.ensure(start..start + size_of::<T>())?;
        }",
        test: (
            "damage",
            "a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer::a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer",
        ),
    },
    Fault {
        name: "blocks_of_names_keys_and_values_not_checked",
        breaks: "Names, keys and values are read without the checksums of their blocks.",
        file: "segment/truth/reader.rs",
        find: r"        self.file.ensure(range.clone())?;
        Ok(&self.file.bytes()[range])",
        replacement: r"        if !FAULT {
            self.file.ensure(range.clone())?;
        }
        Ok(&self.file.bytes()[range])",
        test: (
            "damage",
            "a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer::a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer",
        ),
    },
    Fault {
        name: "blocks_of_columns_not_checked",
        breaks: "A loop over a column reads blocks without their checksums.",
        file: "segment/truth/reader.rs",
        find: "        self.file.ensure(whole.start + range.start * each..end)",
        replacement: r"        if FAULT {
            return Ok(());
        }
        self.file.ensure(whole.start + range.start * each..end)",
        test: (
            "damage",
            "a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer::a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer",
        ),
    },
    Fault {
        name: "blocks_of_large_values_not_checked",
        breaks: "A large value is read without the checksums of its blocks.",
        file: "segment/blob/file.rs",
        find: r"        map.ensure(range.clone())?;
        map.bytes().get(range)",
        replacement: r"        if !FAULT {
            map.ensure(range.clone())?;
        }
        map.bytes().get(range)",
        test: ("damage", "a_damaged_blob_fails_only_its_rows::a_flipped_bit_fails_the_values_in_its_block"),
    },
    Fault {
        name: "blocks_of_codes_not_checked",
        breaks: "Codes are compared without the checksums of their blocks.",
        file: "segment/derived/codes.rs",
        find: r"        let metas = HEADER_BYTES + self.vectors * self.stride;
        self.file.ensure(",
        replacement: r"        let metas = HEADER_BYTES + self.vectors * self.stride;
        if FAULT {
            return Ok(());
        }
        self.file.ensure(",
        test: ("damage", "damage_is_named::damaged_codes_and_graphs_change_no_answer_and_are_rebuilt"),
    },
    Fault {
        name: "missed_operations_forgotten",
        breaks: "A damaged segment that is restored shows what was deleted meanwhile.",
        file: "shard/apply.rs",
        find: "part.is_lost() && part.may_hold_any(operation)",
        replacement: "part.is_lost() && part.may_hold_any(operation) && !FAULT",
        test: ("damage", "a_damaged_segment_holds_up_no_log::the_log_shrinks_and_a_restored_file_has_missed_nothing"),
    },
    Fault {
        name: "what_a_killed_process_left_counts_as_durable",
        breaks: "The next log file begins behind frames that were never synced.",
        file: "wal/writer.rs",
        find: "facts.filter(|_| durable.is_none())",
        replacement: "facts.filter(|_| durable.is_none() && !FAULT)",
        test: (
            "recovery",
            "the_first_write_after_a_close_syncs_little::four_syncs_after_a_close_and_one_more_after_a_kill",
        ),
    },
];
