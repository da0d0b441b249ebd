//! Faults of jobs: what is carried over, checkpoints, manifests, imports, purges, space.

use super::Fault;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "checkpoint_one_too_high",
        breaks: "A flush moves the checkpoint past one operation more than it wrote.",
        file: "engine/completed_job.rs",
        find: "Input::Memtable(_, through) => Some(*through),",
        replacement: "Input::Memtable(_, through) => Some(if FAULT { through.next() } else { *through }),",
        test: (
            "races",
            "a_checkpoint_covers_only_what_segments_hold::rows_that_come_while_a_flush_is_under_way_are_replayed",
        ),
    },
    Fault {
        name: "checkpoint_passes_frozen_memtables",
        breaks: "A checkpoint covers rows that wait for their flush.",
        file: "engine/generation.rs",
        find: "if shard.memtable.is_empty() && shard.frozen.is_empty() {",
        replacement: "if shard.memtable.is_empty() && (shard.frozen.is_empty() || FAULT) {",
        test: ("races", "a_checkpoint_covers_only_what_segments_hold::rows_that_wait_for_their_flush_are_replayed"),
    },
    Fault {
        name: "flush_forgets_deletes",
        breaks: "Rows deleted during their flush are alive in the segment.",
        file: "engine/completed_job.rs",
        find: "(memtable.deletions_after(base), touches.collect())",
        replacement: "(if FAULT { Vec::new() } else { memtable.deletions_after(base) }, touches.collect())",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_flush"),
    },
    Fault {
        name: "flush_forgets_touches",
        breaks: "Rows touched during their flush have the old expiry in the segment.",
        file: "engine/completed_job.rs",
        find: "let touches = memtable.touches_after(base).into_iter();",
        replacement: "let touches = memtable.touches_after(base).into_iter().filter(|_| !FAULT);",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_flush"),
    },
    Fault {
        name: "merge_forgets_deletes",
        breaks: "Rows deleted during a merge are alive in its output.",
        file: "engine/completed_job.rs",
        find: "(part.tombstones.died_after(base).collect(), touches.collect())",
        replacement: "(part.tombstones.died_after(base).filter(|_| !FAULT).collect(), touches.collect())",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_merge"),
    },
    Fault {
        name: "merge_forgets_touches",
        breaks: "Rows touched during a merge have the old expiry in its output.",
        file: "engine/completed_job.rs",
        find: "let touches = part.tombstones.touches().filter(|touch| touch.lsn > base);",
        replacement: "let touches = part.tombstones.touches().filter(|touch| touch.lsn > base && !FAULT);",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_merge"),
    },
    Fault {
        name: "second_carry_over_left_out",
        breaks: "What comes between the collection of an install and its swap is not carried over.",
        file: "engine/install.rs",
        find: r"    let apply_lock = engine.apply_lock.lock();
    change.carry_over();
    let view = change.apply(&engine.view.get());",
        replacement: r"    let apply_lock = engine.apply_lock.lock();
    if !FAULT {
        change.carry_over();
    }
    let view = change.apply(&engine.view.get());",
        test: ("races", "what_happens_while_a_job_is_installed_is_carried_over::by_a_merge"),
    },
    Fault {
        name: "replacement_does_not_hand_tombstones_on",
        breaks: "New codes or graphs of a segment forget that its tombstones are to be written.",
        file: "engine/replace.rs",
        find: "        self.next.take_dirty_from(self.part);",
        replacement: r"        if !FAULT {
            self.next.take_dirty_from(self.part);
        }",
        test: ("recovery", "what_died_is_written_down_after_a_failure::what_dies_while_a_job_is_under_way"),
    },
    Fault {
        name: "tombstones_forgotten_after_a_failed_commit",
        breaks: "Tombstones that a failed commit did not write are not written later.",
        file: "engine/generation.rs",
        find: "Err(_) => changed.iter().for_each(ChangedPart::set_dirty),",
        replacement: "Err(_) => changed.iter().filter(|_| !FAULT).for_each(ChangedPart::set_dirty),",
        test: ("recovery", "what_died_is_written_down_after_a_failure::a_job_that_failed_anywhere"),
    },
    Fault {
        name: "tombstones_above_their_base",
        breaks: "A tombstone file holds deletes that its manifest does not reflect.",
        file: "segment/tombstones/file.rs",
        find: "tombstones.died_up_to(base).map(",
        replacement: "tombstones.died_up_to(if FAULT { Lsn::LAST } else { base }).map(",
        test: (
            "races",
            "tombstone_files_hold_nothing_above_their_base::a_replacement_that_is_lost_leaves_the_version_before",
        ),
    },
    Fault {
        name: "tombstones_dropped_by_the_next_manifest",
        breaks: "A manifest forgets the tombstone file of a segment that has not changed since.",
        file: "engine/generation.rs",
        find: "known.map_or(entry.tombstone_generation, |known| known.tombstone_generation)",
        replacement: "known.filter(|_| !FAULT).map_or(entry.tombstone_generation, |known| known.tombstone_generation)",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_a_sync_for_each_write"),
    },
    Fault {
        name: "manifest_ahead_of_the_log",
        breaks: "A manifest reflects operations whose log is not synced.",
        file: "engine/generation.rs",
        find: r"    engine.sync_log(view.read_lsn)?;
",
        replacement: r"    if !FAULT {
        engine.sync_log(view.read_lsn)?;
    }
",
        test: ("recovery", "a_short_history_survives_a_power_loss_at_every_sync::with_syncs_on_request"),
    },
    Fault {
        name: "log_removed_while_the_older_manifest_needs_it",
        breaks: "Log files go as soon as the newest manifest does not need them.",
        file: "engine/generation.rs",
        find: "let oldest_log = state.manifest.first_log.min(previous.first_log);",
        replacement: "let oldest_log = if FAULT { state.manifest.first_log } else { state.manifest.first_log.min(previous.first_log) };",
        test: ("recovery", "the_manifest_before_the_newest_is_enough::wherever_the_newest_is_damaged"),
    },
    Fault {
        name: "files_of_the_older_manifest_removed_at_an_open",
        breaks: "An open removes the files that only the manifest before the newest names.",
        file: "engine/recover.rs",
        find: "let Some(previous) = previous else { return Ok(Vec::new()) };",
        replacement: r"let Some(previous) = previous else { return Ok(Vec::new()) };
    if FAULT {
        return Ok(Vec::new());
    }",
        test: ("recovery", "the_manifest_before_the_newest_is_enough::wherever_the_newest_is_damaged"),
    },
    Fault {
        name: "fall_back_without_its_log",
        breaks: "An open falls back to the older manifest although the log was cut off.",
        file: "engine/facts.rs",
        find: r"                reach_of(manifest, log)
",
        replacement: r"                let is_newest = matches!(self.manifest, ManifestFact::Newest(_));
                if FAULT && !is_newest { Reach::Covers } else { reach_of(manifest, log) }
",
        test: ("recovery", "the_manifest_before_the_newest_is_enough::a_log_that_was_cut_off_is_refused"),
    },
    Fault {
        name: "log_cut_off_unnoticed",
        breaks: "An open does not notice that the log ends before what the manifest reflects.",
        file: "engine/facts.rs",
        find: "if log.last_lsn < manifest.reflected {",
        replacement: "if log.last_lsn < manifest.reflected && !FAULT {",
        test: ("recovery", "the_manifest_before_the_newest_is_enough::a_log_that_was_cut_off_is_refused"),
    },
    Fault {
        name: "import_overlooks_what_a_merge_moved",
        breaks: "An import leaves the older version of a key alive if a merge has moved it.",
        file: "shard/ingest.rs",
        find: "None => drop(rows.insert(replaced.row)),",
        replacement: r"None if FAULT => {}
                    None => drop(rows.insert(replaced.row)),",
        test: ("races", "an_import_replaces_what_others_write_and_move_meanwhile::versions_that_a_merge_has_moved"),
    },
    Fault {
        name: "import_overlooks_what_others_wrote",
        breaks: "An import does not look again for keys that others wrote since its look-ups.",
        file: "commit/ingest.rs",
        find: "let Some(watch) = watch.filter(|watch| !watch.is_empty()) else",
        replacement: "let Some(watch) = watch.filter(|watch| !watch.is_empty() && !FAULT) else",
        test: (
            "races",
            "an_import_replaces_what_others_write_and_move_meanwhile::versions_that_others_have_written_since",
        ),
    },
    Fault {
        name: "import_overlooks_pending_writes",
        breaks: "An import does not count writes that are pending when it begins.",
        file: "commit/pending.rs",
        find: "self.pending.keys().for_each(",
        replacement: "self.pending.keys().filter(|_| !FAULT).for_each(",
        test: (
            "races",
            "an_import_replaces_what_others_write_and_move_meanwhile::versions_that_no_reader_saw_when_it_began",
        ),
    },
    Fault {
        name: "files_that_the_log_names_are_removed",
        breaks: "An open removes the files of an import that only the log names.",
        file: "engine/recover.rs",
        find: ".chain(in_view).collect();",
        replacement: ".chain(in_view.filter(|_| !FAULT)).collect();",
        test: (
            "races",
            "an_import_replaces_what_others_write_and_move_meanwhile::files_that_only_the_log_names_outlive_opens",
        ),
    },
    Fault {
        name: "import_names_not_durable",
        breaks: "The frame of an import is written before the names of its files are durable.",
        file: "commit/ingest.rs",
        find: r"        self.engine.sync_dir()?;
        files.outputs.written();",
        replacement: r"        if !FAULT {
            self.engine.sync_dir()?;
        }
        files.outputs.written();",
        test: (
            "races",
            "an_import_replaces_what_others_write_and_move_meanwhile::files_that_only_the_log_names_outlive_opens",
        ),
    },
    Fault {
        name: "import_repeats_a_chunk",
        breaks: "An import that resumes reads lines again that are done.",
        file: "store/import.rs",
        find: "skip(&mut items, progress.lines);",
        replacement: "skip(&mut items, if FAULT { progress.lines / 2 } else { progress.lines });",
        test: ("imports", "an_import_resumes_at_its_mark::a_source_that_fails_in_the_middle"),
    },
    Fault {
        name: "purge_commits_one_manifest",
        breaks: "A purge leaves the log that only the manifest before the newest needs.",
        file: "worker/purge.rs",
        find: r"                checkpoint(&self.engine)?;
                return checkpoint(&self.engine);",
        replacement: r"                checkpoint(&self.engine)?;
                return if FAULT { Ok(()) } else { checkpoint(&self.engine) };",
        test: (
            "erasure",
            "a_purge_can_be_repeated_after_any_failure::what_only_the_log_still_holds_goes_at_the_first_try",
        ),
    },
    Fault {
        name: "purge_rewrites_nothing",
        breaks: "A purge leaves segments as they are, with the deleted rows.",
        file: "worker/purge.rs",
        find: "    Ok(!rows.is_empty() && rows.ids()",
        replacement: "    Ok(!FAULT && !rows.is_empty() && rows.ids()",
        test: (
            "erasure",
            "a_purge_rewrites_a_segment_for_one_small_value::a_purge_rewrites_a_segment_for_one_small_value",
        ),
    },
    Fault {
        name: "space_granted_twice",
        breaks: "Space that one job was granted is granted to the next one too.",
        file: "engine/space/grants.rs",
        find: "if self.grants.is_empty() {",
        replacement: "if self.grants.is_empty() || FAULT {",
        test: ("space", "space_that_was_granted_is_nobody_elses::while_an_import_writes"),
    },
    Fault {
        name: "split_across_an_import",
        breaks: "A shard is split where a file of an import that is under way lies on both sides.",
        file: "shard/cuts.rs",
        find: "chain(&imports.extents);",
        replacement: "chain(imports.extents.iter().filter(|_| !FAULT));",
        test: ("races", "a_split_is_noticed_by_nobody::by_an_import_that_has_begun_before"),
    },
    Fault {
        name: "split_forgets_touches",
        breaks: "A split gives rows in memory the expiry that they were put with.",
        file: "memtable/copy.rs",
        find: "copy.touch(copied, row.expires_at(), touched);",
        replacement: "if !FAULT { copy.touch(copied, row.expires_at(), touched); }",
        test: ("races", "a_split_is_noticed_by_nobody::by_writers_readers_and_those_who_lose_power"),
    },
    Fault {
        name: "split_moves_the_checkpoint",
        breaks: "A new shard has another checkpoint than the one that was split.",
        file: "shard/cuts.rs",
        find: "piece.memtable = Arc::new(copy);",
        replacement: r"piece.memtable = Arc::new(copy);
            if FAULT {
                piece.committed = Arc::new(AtomicLsn::new(self.read_lsn));
            }",
        test: ("races", "a_split_is_noticed_by_nobody::by_writers_readers_and_those_who_lose_power"),
    },
    Fault {
        name: "split_forgets_deletes_of_copied_rows",
        breaks: "A row that is deleted while a split copies the rows in memory comes back.",
        file: "memtable/copy.rs",
        find: "for (row, deleted_lsn) in self.source.deletions_after(self.base) {",
        replacement: "for (row, deleted_lsn) in self.source.deletions_after(if FAULT { read_lsn } else { self.base }) {",
        test: ("races", "a_split_is_noticed_by_nobody::by_writers_who_change_rows_that_were_just_copied"),
    },
    Fault {
        name: "split_moves_other_bounds",
        breaks: "A split shortens the bounds of all shards, past files of imports that the log may ask for.",
        file: "shard/cuts.rs",
        find: "Ok(Some(Self { shards: shards.into(), ..*self }))",
        replacement: r"let view = Self { shards: shards.into(), ..*self };
        Ok(Some(if FAULT { view.with_short_bounds(&ImportFiles::default()).unwrap_or(view) } else { view }))",
        test: ("shards", "a_split_moves_no_other_bound::so_an_open_finds_the_shard_of_a_file_that_only_the_log_names"),
    },
    Fault {
        name: "blob_file_named_twice",
        breaks: "A merge of two segments that refer to one blob file names the file once for each.",
        file: "compact/blobs.rs",
        find: "let index = *known.entry(blob.file.file_id).or_insert(files.len());",
        replacement: r"let index = if FAULT { files.len() } else { *known.entry(blob.file.file_id).or_insert(files.len()) };",
        test: ("shards", "a_blob_file_of_several_segments_has_one_fate::over_all_inputs_of_a_merge"),
    },
    Fault {
        name: "split_of_damage_is_tried_for_ever",
        breaks: "A segment whose namespaces cannot be read is not excluded from merges.",
        file: "shard/cuts.rs",
        find: "read.inspect_err(|_| part.refuse_merges())?;",
        replacement: r"read.inspect_err(|_| if !FAULT { part.refuse_merges() })?;",
        test: ("shards", "damage_stops_the_split_and_no_merge::of_its_shard"),
    },
    Fault {
        name: "deleted_rows_decide_the_cut",
        breaks: "A shard is cut in the middle of all its rows, deleted ones included.",
        file: "shard/cuts.rs",
        find: "let alive = match part.tombstones.none_dead_in(rows.clone()) {",
        replacement: "let alive = match FAULT || part.tombstones.none_dead_in(rows.clone()) {",
        test: ("shards", "deleted_rows_make_no_split::nor_decide_where_a_shard_is_cut"),
    },
    Fault {
        name: "backup_asks_for_merged_files",
        breaks: "A backup asks for each file of an import that the log names, also for those that its shard has merged.",
        file: "store/backup/verify.rs",
        find: "entries.retain(|entry| !is_covered(entry));",
        replacement: "entries.retain(|entry| FAULT || !is_covered(entry));",
        test: ("shards", "a_split_moves_no_other_bound::and_a_backup_asks_for_no_file_that_is_gone"),
    },
];
