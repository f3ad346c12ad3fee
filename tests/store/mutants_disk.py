"""Mutants of what is written and read again: syncs, the log, segments, manifests."""

from mutant import CRASH, DAMAGE, FAULTS, Edit, Mutant, mutant

MUTANTS = (
    # ---- syncs
    mutant(
        "no sync of the directory after a manifest",
        "store/manifest.c",
        "    status = io->sync_directory(io->context, directory);\n    if (status != SUTRA_OK) {",
        "    if (status != SUTRA_OK) {",
        *CRASH,
    ),
    mutant(
        "a manifest renamed before it is synced",
        "store/manifest.c",
        "            status = io->sync(io->context, fd);\n",
        "            status = SUTRA_OK;\n",
        *CRASH,
    ),
    mutant(
        "a segment renamed before it is synced",
        "store/segment_write.c",
        "        status = io->sync(io->context, writer->fd);\n",
        "        status = SUTRA_OK;\n",
        *CRASH,
    ),
    mutant(
        "no sync of the directory after a log file",
        "store/write.c",
        "    status = store->io->sync_directory(store->io->context, store->path);\n",
        "    status = SUTRA_OK;\n",
        *CRASH,
    ),
    mutant(
        "no sync of a log's header",
        "store/log.c",
        "        status = log->io->sync(log->io->context, log->fd);\n    if (status == SUTRA_OK) {",
        "        status = SUTRA_OK;\n    if (status == SUTRA_OK) {",
        *CRASH,
    ),
    mutant(
        "no sync of the log that a dead process wrote",
        "store/recover.c",
        "    status = store->io->sync(store->io->context, fd);\n",
        "    status = SUTRA_OK;\n",
        *CRASH[::-1],
    ),
    mutant(
        "a log is closed without a sync",
        "store/write.c",
        "    const int status = sutra_store_sync(store);\n    if (status != SUTRA_OK)\n"
        "        return status;\n    sutra_store_await_sync(store);",
        "    sutra_store_await_sync(store);",
        *CRASH[::-1],
    ),
    mutant(
        "acknowledged without a sync",
        "store/write.c",
        "    if (status == SUTRA_OK && wait && store->options.sync == SUTRA_SYNC_FULL && count)\n"
        "        status = sutra_store_wait(store, *lsn_out);\n",
        "    (void)wait;\n",
        "test_store_write:durability",
    ),
    mutant(
        "visible before it is durable",
        "store/commit.c",
        "    if (store->options.sync != SUTRA_SYNC_FULL || !store->io)\n",
        "",
        "test_store_write:durability",
    ),
    mutant(
        "a failed sync is tried again",
        "store/log.c",
        "        if (status != SUTRA_OK)\n            fail(log);\n    }\n",
        "        if (status != SUTRA_OK)\n"
        "            status = log->io->sync(log->io->context, log->fd);\n    }\n",
        "test_store_faults:syncs_that_drop",
    ),
    mutant(
        "writes go on after a failed sync",
        "store/write.c",
        "    return __atomic_load_n(&store->failed, __ATOMIC_ACQUIRE) ? SUTRA_E_DURABILITY ",
        "    return false ? SUTRA_E_DURABILITY ",
        *FAULTS,
    ),
    mutant(
        "a snapshot that is not synced",
        "store/snapshot.c",
        "        status = sutra_identity_write(io, directory, &identity);\n"
        "    if (status == SUTRA_OK)\n"
        "        status = io->sync_directory(io->context, directory);\n",
        "        status = sutra_identity_write(io, directory, &identity);\n",
        *CRASH,
    ),
    mutant(
        "a restored store whose name is not synced",
        "store/snapshot.c",
        "            status = sutra_directory_sync_parent(io, dst);\n",
        "            status = SUTRA_OK;\n",
        "test_store_copies:restoring_with_faults",
    ),
    mutant(
        "what comes during a sync counts as synced",
        "store/commit.c",
        "    } else if (lsn > store->durable_lsn) {\n"
        "        __atomic_store_n(&store->durable_lsn, lsn, __ATOMIC_RELEASE);\n"
        "        publish(store, lsn, live);\n",
        "    } else if (lsn > store->durable_lsn) {\n"
        "        __atomic_store_n(&store->durable_lsn, store->applied_lsn, __ATOMIC_RELEASE);\n"
        "        publish(store, store->applied_lsn, live);\n",
        "test_store_faults:written_while_syncing",
    ),
    mutant(
        "a new store's name is not synced",
        "store/store.c",
        "        status = sutra_directory_sync_parent(io, store->path);\n",
        "        status = SUTRA_OK;\n",
        *CRASH,
    ),
    mutant(
        "a new store has its identity before its manifest",
        "store/store.c",
        "    status = sutra_store_checkpoint_locked(store, true, true);\n"
        "    if (status == SUTRA_OK)\n"
        "        status = sutra_identity_write(io, store->path, &identity);\n",
        "    status = sutra_identity_write(io, store->path, &identity);\n"
        "    if (status == SUTRA_OK)\n"
        "        status = sutra_store_checkpoint_locked(store, true, true);\n",
        *CRASH,
    ),
    mutant(
        "closing does not sync",
        "store/store.c",
        "    if (store->io && !store->read_only && !store->failed)\n"
        "        status = sutra_store_sync(store);\n",
        "",
        "test_store_damage:closed_is_durable",
    ),
    # ---- the log
    Mutant(
        "no salt in the checksums of records",
        (
            Edit("csrc/store/log.c", "sutra_crc32c(sutra_log_seed(log->salt),", "sutra_crc32c(0,"),
            Edit(
                "csrc/store/log_replay.c",
                "sutra_log_seed(sutra_load_u64(header + SUTRA_LOG_HEADER_SALT))",
                "0",
            ),
        ),
        ("test_log_crash:every_prefix", "test_log_:", "test_log.c:"),
    ),
    mutant(
        "replay does not look at LSNs",
        "store/log_replay.c",
        "    if (record_out->lsn != lsn || !fits(",
        "    (void)lsn;\n    if (!fits(",
        "test_log.c:",
        "test_log_:",
    ),
    mutant(
        "replay does not ask for the first LSN of a file",
        "store/recover.c",
        "        .expected_lsn = resumed ? 0 : before.next_lsn,\n",
        "",
        "test_store_damage:missing_files",
    ),
    mutant(
        "replay does not ask for the file before",
        "store/recover.c",
        "        .before = before.file_number && !resumed ? &before : NULL,\n",
        "",
        "test_store_damage:another_history",
    ),
    mutant(
        "replay does not know of batches in several records",
        "store/log_replay.c",
        "        if ((record.flags & SUTRA_LOG_MORE) != 0)\n            continue;\n",
        "",
        "test_store_long:",
    ),
    mutant(
        "every tail is torn",
        "store/recover.c",
        "        .last = last,\n",
        "        .last = last && false,\n",
        *DAMAGE,
    ),
    mutant(
        "records vouch for nothing",
        "store/write.c",
        "sutra_log_append(&store->log, flags, spans, count, sutra_store_durable_lsn(store));",
        "sutra_log_append(&store->log, flags, spans, count, 0);",
        *DAMAGE,
    ),
    mutant(
        "no marker at the end",
        "store/store.c",
        "        (void)sutra_store_write_marker(store);\n",
        "        (void)0;\n",
        *DAMAGE,
    ),
    mutant(
        "a log without a header is not passed over",
        "store/recover.c",
        "        absent = status == SUTRA_E_TRUNCATED;\n",
        "        absent = status == SUTRA_E_TRUNCATED && j + 1 == count;\n",
        *CRASH,
    ),
    mutant(
        "a log that was not finished is not passed over",
        "store/recover.c",
        "    earlier->known = next.bytes == SUTRA_LOG_HEADER_BYTES &&",
        "    earlier->known = next.bytes == 0 &&",
        "test_store_faults:for_ever",
        "test_store_faults:",
    ),
    mutant(
        "a log's number is used again after a failure",
        "store/write.c",
        "    if (status != SUTRA_OK)\n        return status;\n"
        "    status = store->io->sync_directory(",
        "    if (status != SUTRA_OK)\n        return store->next_file--, status;\n"
        "    status = store->io->sync_directory(",
        "test_store_faults:for_ever",
        "test_store_faults:",
    ),
    mutant(
        "numbers of files that a manifest does not know are given again",
        "store/recover.c",
        "store->manifest.next_file > last ? store->manifest.next_file : last + 1;",
        "store->manifest.next_file + 0 * last;",
        *CRASH,
    ),
    mutant(
        "no cut after a batch that failed",
        "store/write.c",
        "        if (end.bytes != store->log.end)\n            (void)sutra_log_cut(&store->log);\n",
        "",
        "test_store_long:taken_back",
    ),
    mutant(
        "a cut without a sync",
        "store/log.c",
        "        log->allocated = bytes;\n    return sutra_log_sync(log);",
        "        log->allocated = bytes;\n    return SUTRA_OK;",
        "test_log_power:",
        "test_log_:",
    ),
    mutant(
        "a batch is born at its first LSN",
        "store/write.c",
        "        lsn = store->log.next_lsn - 1;\n",
        "        lsn = store->next_lsn;\n",
        "test_store_long:one_long",
    ),
    Mutant(
        "checksums of records are not compared",
        (
            Edit(
                "csrc/store/log_replay.c",
                "    *right_out = checksum == record->checksum;\n",
                "    *right_out = checksum != 0;\n",
            ),
            Edit(
                "csrc/store/log_replay.c",
                "                   sum(reader->seed, data, got) == record.checksum;\n",
                "                   sum(reader->seed, data, got) != 0;\n",
            ),
        ),
        ("test_log_crash:every_bit", *DAMAGE),
    ),
    mutant(
        "the checksum of a log's header is not compared",
        "store/log_replay.c",
        "    if (found != checksum)\n",
        "    if (found != checksum && false)\n",
        *DAMAGE,
    ),
    mutant(
        "the log before may end with another record",
        "store/log_replay.c",
        "    if (status == SUTRA_OK && found != expected)\n",
        "    if (status == SUTRA_OK && found != expected && false)\n",
        "test_store_damage:another_history",
    ),
    mutant(
        "a log of another store is taken",
        "store/log_replay.c",
        "    if (memcmp(header + SUTRA_LOG_HEADER_STORE_ID, replay->store_id, 16) != 0)\n",
        "    if (memcmp(header + SUTRA_LOG_HEADER_STORE_ID, replay->store_id, 0) != 0)\n",
        "test_log_files:",
    ),
    mutant(
        "the pieces of a batch are batches",
        "store/write.c",
        "append_record(store, last && to == count ? 0 : SUTRA_LOG_MORE);",
        "append_record(store, last && to == count ? 0 : 0);",
        "test_store_long:one_long",
    ),
    mutant(
        "the operations of a long batch are batches",
        "store/write.c",
        "            status = append_record(store, SUTRA_LOG_MORE);\n",
        "            status = append_record(store, 0);\n",
        "test_store_long:long_together",
    ),
    mutant(
        "what could not be logged is done in memory",
        "store/write.c",
        "            take_back(store);\n            return status;\n",
        "            take_back(store);\n"
        "            for (size_t j = 0; j < count; j++)\n"
        "                ops[j].done = sutra_apply_op(store, state, &ops[j], lsn);\n"
        "            return status;\n",
        "test_store_faults:full_disk",
        *FAULTS,
    ),
    mutant(
        "a log that failed does not fail the store",
        "store/write.c",
        "    if (sutra_log_failed(&store->log))\n        sutra_store_fail(store, EIO);\n",
        "",
        *FAULTS,
    ),
    mutant(
        "no cut after a write that failed",
        "store/log.c",
        "        (void)cut_to(log, log->end); /* failing is noted in the log */\n",
        "",
        "test_log_faults:",
        "test_log_power:",
    ),
    mutant(
        "a log goes on after a failure",
        "store/log.c",
        "    if (log->fd < 0 || sutra_log_failed(log))\n        return EIO;\n    if ((flags",
        "    if (log->fd < 0)\n        return EIO;\n    if ((flags",
        "test_log_faults:",
    ),
    mutant(
        "a lost log is not missed",
        "store/recover.c",
        "    if (status == SUTRA_OK && end.next_lsn <= least_lsn && stop_lsn == UINT64_MAX &&\n",
        "    if (status == SUTRA_OK && end.next_lsn == 0 && stop_lsn == UINT64_MAX &&\n",
        "test_store_damage:logs_before_missing",
    ),
    # ---- segments and manifests
    mutant(
        "checksums of blocks are not compared",
        "store/segment_read.c",
        "                                                        block_bytes(segment, block));\n"
        "    if (found != expected)\n",
        "                                                        block_bytes(segment, block));\n"
        "    if (found != expected && false)\n",
        "test_segment_damage:every_block",
    ),
    mutant(
        "a block's checksum does not know its place",
        "store/segment_read.c",
        "    sutra_store_u64(seed + 8, block);\n",
        "    sutra_store_u64(seed + 8, block > 0);\n",
        "test_segment_damage:blocks_know_their_place",
    ),
    mutant(
        "a segment of the right number is taken for the right one",
        "store/segment_read.c",
        "    if (memcmp(found, identity, sizeof found) != 0)\n",
        "    if (memcmp(found, identity, 0) != 0)\n",
        "test_segment_damage:other_files",
        *DAMAGE,
    ),
    mutant(
        "ranges of a plane may overlap",
        "store/segment_chain.c",
        "        if (section->first_row != rows)\n",
        "        if (section->first_row > rows)\n",
        "test_segment.c:wrong_rows",
    ),
    mutant(
        "the checksum of a manifest is not compared",
        "store/manifest.c",
        "    if (stored != actual)\n"
        "        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, covered, ",
        "    if (stored != actual && false)\n"
        "        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, covered, ",
        "test_manifest:every_bit",
    ),
    mutant(
        "a manifest under another number is taken",
        "store/manifest.c",
        "    if (manifest->generation != generation)\n",
        "    if (manifest->generation == 0)\n",
        "test_manifest:other_manifests",
    ),
    mutant(
        "a manifest that does not hold is the end",
        "store/recover.c",
        "        if (!is_damage(status))\n            return status;\n    }\n",
        "        return status;\n    }\n",
        "test_store_damage:older_",
    ),
)
