/* What stands before and beside the blocks of the results (ol-results.5): of which run
 * and model they are, and what was asked for. */
#ifndef OL_RESULTS_RUN_H
#define OL_RESULTS_RUN_H

#include "common/results/blocks.h"

/* More is no model but a damaged file, and would make figures of that size. */
#define OL_RESULTS_MOST_LAYERS  4096
#define OL_RESULTS_MOST_EXPERTS 8192

/* clang-format off */
#define OL_RESULTS_RECEIPT_FIELDS(F)         \
    F(COUNT, bytes_read, OL_OLD, "")         \
    F(COUNT, bytes_fetched, OL_OLD, "")      \
    F(COUNT, requests, OL_OLD, "")           \
    F(COUNT, link_bytes, OL_OLD, "")         \
    F(COUNT, peer_bytes, OL_OLD, "")         \
    F(COUNT, copied_bytes, OL_OLD, "")       \
    F(COUNT, peak_memory, OL_OLD, "")        \
    F(COUNT, peak_device_memory, OL_OLD, "") \
    F(COUNT, n_devices, OL_OLD, "")          \
    F(SIZE, seconds, OL_OLD, "")             \
    F(SIZE, disk_seconds, OL_OLD, "")        \
    F(SIZE, copy_seconds, OL_OLD, "")        \
    F(SIZE, link_seconds, OL_OLD, "")        \
    F(SIZE, compute_seconds, OL_OLD, "")     \
    F(SIZE, writer_seconds, OL_OLD, "")
OL_STRUCT(ol_results_receipt, OL_RESULTS_RECEIPT_FIELDS, "")

#define OL_RESULTS_RUN_FIELDS(F)                  \
    F(TEXT, label, OL_OLD | OL_FILLED, "")        \
    F(TEXT, tool, OL_OLD | OL_FILLED, "")         \
    F(TEXT, tool_version, OL_OLD | OL_FILLED, "") \
    F(TEXT, command_line, OL_OLD | OL_FILLED, "") \
    F(TEXT, created, OL_OLD | OL_FILLED, "")      \
    F(TEXT, backend, OL_OLD | OL_FILLED, "")      \
    F(TEXT, precision, OL_OLD | OL_FILLED, "")    \
    F(TEXT, device, OL_OLD | OL_FILLED, "")       \
    F(TEXT, processor, OL_OLD | OL_FILLED, "")    \
    F(ORDINAL, parts, OL_OLD, "")                 \
    F(OBJECT(ol_results_receipt), receipt, OL_OLD, "")
OL_STRUCT(ol_results_run, OL_RESULTS_RUN_FIELDS, "")

#define OL_RESULTS_MODEL_FIELDS(F)                                           \
    F(TEXT, name, OL_OLD | OL_FILLED, "")                                    \
    F(TEXT, family, OL_OLD | OL_FILLED, "")                                  \
    F(COUNT, n_layers, OL_NEEDED | OL_AT_MOST(OL_RESULTS_MOST_LAYERS), "")   \
    F(COUNT, n_sites, OL_OLD, "of its layers, where not each has two")       \
    F(COUNT, d_model, OL_NEEDED, "")                                         \
    F(COUNT, vocab_size, OL_NEEDED, "")                                      \
    F(COUNT, n_experts, OL_NEEDED | OL_AT_MOST(OL_RESULTS_MOST_EXPERTS), "") \
    F(COUNT, top_k, OL_NEEDED, "")                                           \
    F(TEXT, routing, OL_NULL | OL_OLD | OL_FILLED, "")                       \
    F(TEXT, experts_read, OL_OLD | OL_FILLED, "")                            \
    F(COUNT, total_parameters, OL_NEEDED, "")                                \
    F(COUNT, active_parameters, OL_NEEDED, "")                               \
    F(TEXT, weight_format, OL_OLD | OL_FILLED, "")                           \
    F(TEXT, activations_config, OL_OLD | OL_FILLED, "")                      \
    F(TEXT, config_sha256, OL_OLD | OL_FILLED, "")                           \
    F(TEXT, weights_sha256, OL_OLD | OL_FILLED, "")                          \
    F(TEXT, shards_sha256, OL_OLD | OL_FILLED, "")
OL_STRUCT(ol_results_model, OL_RESULTS_MODEL_FIELDS, "")

#define OL_RESULTS_INPUT_FIELDS(F)                    \
    F(TEXT, source, OL_OLD | OL_FILLED, "")           \
    F(TEXT, text_sha256, OL_OLD | OL_FILLED, "")      \
    F(TEXT, tokenizer_file, OL_OLD | OL_FILLED, "")   \
    F(TEXT, tokenizer_sha256, OL_OLD | OL_FILLED, "") \
    F(TEXT, windowing, OL_OLD | OL_FILLED, "")        \
    F(BOOL, bos, OL_OLD, "")
OL_STRUCT(ol_results_input, OL_RESULTS_INPUT_FIELDS, "")

/* What counts as an outlier feature (section 6.1 of the method). */
#define OL_CRITERION_FIELDS(F)             \
    F(SIZE, threshold, OL_NEEDED, "")      \
    F(SHARE, min_layers, OL_NEEDED, "")    \
    F(SHARE, min_positions, OL_NEEDED, "") \
    F(ORDINAL, batch_size, OL_NEEDED, "")
OL_STRUCT(ol_criterion, OL_CRITERION_FIELDS, "")

#define OL_RESULTS_HEAD_FIELDS(F)                              \
    F(OBJECT(ol_results_run), run, OL_OLD | OL_FILLED, "")     \
    F(OBJECT(ol_results_model), model, OL_FILLED, "")          \
    F(OBJECT(ol_results_input), input, OL_OLD | OL_FILLED, "") \
    F(OBJECT(ol_criterion), criterion, OL_FILLED, "")
OL_STRUCT(ol_results_head, OL_RESULTS_HEAD_FIELDS, "")

#define OL_RESULTS_SIZE_FIELDS(F)     \
    F(COUNT, n_sites, OL_NEEDED, "")  \
    F(COUNT, n_tokens, OL_NEEDED, "") \
    F(COUNT, n_sequences, OL_NEEDED, "")
OL_STRUCT(ol_results_size, OL_RESULTS_SIZE_FIELDS, "")

#define OL_RESULTS_FIELDS(F)                 \
    F(TEXT, tool_version, OL_FILLED, "")     \
    F(TEXT, command_line, OL_FILLED, "")     \
    F(MEMBERS(ol_results_head), head, 0, "") \
    F(MEMBERS(ol_results_size), size, 0, "") \
    F(MEMBERS(ol_blocks), blocks, 0, "")
OL_STRUCT(ol_results, OL_RESULTS_FIELDS, "")
/* clang-format on */

#endif
