/* The tables of an activation file, one row each: what is written, read, checked,
 * planned, listed with a checksum and kept for a resumed run is what stands here. Those
 * of the whole file come first, those of every layer after them; in the file they follow
 * each other in this order.
 *
 *     name, path, type of the values, how it is stored, when it is there, what of it,
 * axes
 *
 * A path with %03d is of a layer. TENSOR is the type of the layout. How it is stored:
 * ROWS      a chunk per sequence, aligned and mapped by readers; rows are written as they
 *           come
 * WHOLE     one chunk, written as it comes, copied by readers
 * BEGUN     written at once when the file is made, from a member of the content
 * SEALED    written at once, compressed, when the file is sealed; from a member alike */
#ifndef OL_TABLES_H
#define OL_TABLES_H

/* clang-format off */
#define OL_TABLES(T)                                                                      \
    T(TOKEN_IDS, "/input/token_ids", I32, BEGUN, always, AT(input.token_ids),             \
      SEQUENCE, TOKEN)                                                                    \
    T(LENGTHS, "/input/lengths", I32, BEGUN, always, AT(input.lengths), SEQUENCE)         \
    T(PIECE_IDS, "/input/piece_ids", I32, BEGUN, has_pieces, AT(input.piece_ids), PIECE)  \
    T(PIECES, "/input/pieces", TEXT, BEGUN, has_pieces, AT(input.pieces), PIECE)          \
    T(NLL, "/input/nll", F32, ROWS, has_nll, 0, SEQUENCE, TOKEN)                          \
    T(POSITIONS, "/summary/positions", U8, SEALED, has_summaries, AT(outliers.positions), \
      SEQUENCE, D_MODEL, POSITION_BYTE)                                                   \
    T(VALUE_FEATURES, "/summary/value_features", I32, SEALED, has_summaries,              \
      AT(outliers.features), VALUE)                                                       \
    T(VALUE_CODES, "/summary/value_codes", U16, SEALED, has_summaries,                    \
      AT(outliers.codes), VALUE)                                                          \
    T(VALUE_COUNTS, "/summary/value_counts", I64, SEALED, has_summaries,                  \
      AT(outliers.counts), VALUE)                                                         \
    T(ARMS, "/ablation/arms", TEXT, BEGUN, has_arms, AT(layout.arms), ARM)                \
    T(ARMS_LEFT_OUT, "/ablation/left_out", I32, BEGUN, has_arms, AT(layout.left_out), ARM)\
    T(ARM_SITES, "/ablation/sites", U8, SEALED, has_arms, AT(arms.sites),                 \
      ARM_SEQUENCE, D_MODEL, SITE_BYTE)                                                   \
    T(ARM_POSITIONS, "/ablation/positions", U8, SEALED, has_arms, AT(arms.positions),     \
      ARM_SEQUENCE, D_MODEL, POSITION_BYTE)                                               \
    T(ARM_OCCURRENCES, "/ablation/occurrences", I32, SEALED, has_arms,                    \
      AT(arms.occurrences), ARM_SEQUENCE, D_MODEL)                                        \
    T(ARM_MAXIMA, "/ablation/maxima", F32, SEALED, has_arms, AT(arms.maxima),             \
      ARM_SEQUENCE, D_MODEL)                                                              \
    T(ARM_NLL, "/ablation/nll", F32, SEALED, has_arms, AT(arms.nll), ARM_SEQUENCE, TOKEN) \
                                                                                          \
    T(LN_ATTN, "/layers/%03d/ln_attn", TENSOR, ROWS, has_site, OL_SITE_LN_ATTN,           \
      SEQUENCE, TOKEN, D_MODEL)                                                           \
    T(LN_MLP, "/layers/%03d/ln_mlp", TENSOR, ROWS, has_site, OL_SITE_LN_MLP,              \
      SEQUENCE, TOKEN, D_MODEL)                                                           \
    T(RESIDUAL_ATTN, "/layers/%03d/residual_attn", TENSOR, ROWS, has_site,                \
      OL_SITE_RESIDUAL_ATTN, SEQUENCE, TOKEN, D_MODEL)                                    \
    T(RESIDUAL_MLP, "/layers/%03d/residual_mlp", TENSOR, ROWS, has_site,                  \
      OL_SITE_RESIDUAL_MLP, SEQUENCE, TOKEN, D_MODEL)                                     \
    T(ROUTER_IDS, "/layers/%03d/router_ids", U16, ROWS, has_router, 0,                    \
      SEQUENCE, TOKEN, TOP_K)                                                             \
    T(ROUTER_WEIGHTS, "/layers/%03d/router_weights", F32, ROWS, has_router, 0,            \
      SEQUENCE, TOKEN, TOP_K)                                                             \
    T(TOP_FEATURES, "/layers/%03d/summary/top_features", U16, ROWS, has_writes, 0,        \
      SEQUENCE, TOKEN, TOP_FEATURE)                                                       \
    T(WRITES, "/layers/%03d/summary/writes", F32, ROWS, has_writes, 0,                    \
      SEQUENCE, TOKEN, CONTRIBUTION)                                                      \
    T(UNITS, "/layers/%03d/summary/units", F64, WHOLE, has_components, 0,                 \
      COMPONENT, COMPONENT_COLUMN)                                                        \
    T(HEADS, "/layers/%03d/summary/attention/heads", F64, WHOLE, has_heads, 0,            \
      SEQUENCE, HEAD, HEAD_COLUMN)                                                        \
    T(RECEIVED, "/layers/%03d/summary/attention/received", F32, ROWS, has_heads, 0,       \
      SEQUENCE, TOKEN, RECEIVED_COLUMN)                                                   \
    T(ROUNDED_SAMPLE, "/layers/%03d/summary/rounded/sample", I64, WHOLE, has_rounded, 0,   \
      ROUNDED_ROW, SAMPLE_COLUMN)                                                         \
    T(ROUNDED_CHOICES, "/layers/%03d/summary/rounded/choices", U16, WHOLE, has_rounded, 0, \
      ROUNDED_ROW, ROW_FORMAT, TOP_K)                                                     \
    T(MIXED_HEADS, "/layers/%03d/summary/mixed_heads", F64, WHOLE, has_mixed, 0,          \
      MIXED_HEAD, MIXED_COLUMN)                                                           \
    T(STREAMS, "/layers/%03d/summary/streams", F64, WHOLE, has_streams, 0,                \
      STREAM, STREAM_COLUMN)                                                              \
    T(DOWN_MOMENTS, "/layers/%03d/summary/down/moments", F64, WHOLE, has_down, 0,         \
      COMPONENT, DOWN_MOMENT)                                                             \
    T(DOWN_SAMPLE, "/layers/%03d/summary/down/sample", I64, WHOLE, has_down, 0,           \
      COMPONENT, SAMPLE, SAMPLE_COLUMN)                                                   \
    T(DOWN_ROWS, "/layers/%03d/summary/down/rows", BF16, WHOLE, has_down,                 \
      OL_DOWN_OWN, DOWN_COMPONENT, SAMPLE, DOWN_WIDTH)                                    \
    T(DOWN_SHARED_ROWS, "/layers/%03d/summary/down/shared_rows", BF16, WHOLE, has_down,   \
      OL_DOWN_SHARED, DOWN_COMPONENT, SAMPLE, DOWN_WIDTH)                                 \
    T(DOWN_MAXIMA, "/layers/%03d/summary/down/maxima", BF16, WHOLE, has_down,             \
      OL_DOWN_OWN, DOWN_COMPONENT, DOWN_WIDTH)                                            \
    T(DOWN_SHARED_MAXIMA, "/layers/%03d/summary/down/shared_maxima", BF16, WHOLE,         \
      has_down, OL_DOWN_SHARED, DOWN_COMPONENT, DOWN_WIDTH)                               \
    T(LN_ATTN_HISTOGRAM, "/layers/%03d/summary/ln_attn/histogram", I64, WHOLE,            \
      has_summary, OL_SUMMARY_LN_ATTN, CODE)                                              \
    T(LN_ATTN_COLUMNS, "/layers/%03d/summary/ln_attn/columns", F64, WHOLE, has_summary,   \
      OL_SUMMARY_LN_ATTN, COLUMN_ROW, D_MODEL)                                            \
    T(LN_ATTN_COUNTS, "/layers/%03d/summary/ln_attn/counts", I32, WHOLE, has_summary,     \
      OL_SUMMARY_LN_ATTN, SEQUENCE, D_MODEL)                                              \
    T(LN_ATTN_MAXIMA, "/layers/%03d/summary/ln_attn/maxima", F32, WHOLE, has_summary,     \
      OL_SUMMARY_LN_ATTN, SEQUENCE, D_MODEL)                                              \
    T(LN_MLP_HISTOGRAM, "/layers/%03d/summary/ln_mlp/histogram", I64, WHOLE, has_summary, \
      OL_SUMMARY_LN_MLP, CODE)                                                            \
    T(LN_MLP_COLUMNS, "/layers/%03d/summary/ln_mlp/columns", F64, WHOLE, has_summary,     \
      OL_SUMMARY_LN_MLP, COLUMN_ROW, D_MODEL)                                             \
    T(LN_MLP_COUNTS, "/layers/%03d/summary/ln_mlp/counts", I32, WHOLE, has_summary,       \
      OL_SUMMARY_LN_MLP, SEQUENCE, D_MODEL)                                               \
    T(LN_MLP_MAXIMA, "/layers/%03d/summary/ln_mlp/maxima", F32, WHOLE, has_summary,       \
      OL_SUMMARY_LN_MLP, SEQUENCE, D_MODEL)                                               \
    T(OUTPUT_HISTOGRAM, "/layers/%03d/summary/output/histogram", I64, WHOLE, has_summary, \
      OL_SUMMARY_OUTPUT, CODE)                                                            \
    T(OUTPUT_COLUMNS, "/layers/%03d/summary/output/columns", F64, WHOLE, has_summary,     \
      OL_SUMMARY_OUTPUT, COLUMN_ROW, D_MODEL)                                             \
    T(SQUARES_MIXED, "/layers/%03d/summary/squares/mixed", F64, WHOLE, has_squares,       \
      OL_INPUT_MIXED, INPUT, INPUT_COLUMN)                                                \
    T(SQUARES_QUERY_LATENT, "/layers/%03d/summary/squares/query_latent", F64, WHOLE,      \
      has_squares, OL_INPUT_QUERY_LATENT, INPUT, INPUT_COLUMN)                            \
    T(SQUARES_KEY_LATENT, "/layers/%03d/summary/squares/key_latent", F64, WHOLE,          \
      has_squares, OL_INPUT_KEY_LATENT, INPUT, INPUT_COLUMN)                              \
    T(SQUARES_QUERIES, "/layers/%03d/summary/squares/queries", F64, WHOLE, has_squares,   \
      OL_INPUT_QUERIES, INPUT, INPUT_COLUMN)                                              \
    T(SQUARES_VALUES, "/layers/%03d/summary/squares/values", F64, WHOLE, has_squares,     \
      OL_INPUT_VALUES, INPUT, INPUT_COLUMN)                                               \
    T(SQUARES_MLP_DOWN, "/layers/%03d/summary/squares/mlp_down", F64, WHOLE, has_squares, \
      OL_INPUT_MLP_DOWN, INPUT, INPUT_COLUMN)                                             \
    T(SQUARES_SHARED_DOWN, "/layers/%03d/summary/squares/shared_down", F64, WHOLE,        \
      has_squares, OL_INPUT_SHARED_DOWN, INPUT, INPUT_COLUMN)                             \
    T(SQUARES_EXPERTS, "/layers/%03d/summary/squares/experts", F64, WHOLE, has_squares,   \
      OL_INPUT_EXPERTS, INPUT, INPUT_COLUMN)                                              \
    T(SQUARES_EXPERTS_DOWN, "/layers/%03d/summary/squares/experts_down", F64, WHOLE,      \
      has_squares, OL_INPUT_EXPERTS_DOWN, INPUT, INPUT_COLUMN)                            \
    T(SQUARES_EXPERTS_SUM, "/layers/%03d/summary/squares/experts_sum", F64, WHOLE,        \
      has_squares, OL_INPUT_EXPERTS_SUM, INPUT, INPUT_COLUMN)                             \
    T(SQUARES_OUT_LATENT, "/layers/%03d/summary/squares/out_latent", F64, WHOLE,          \
      has_squares, OL_INPUT_OUT_LATENT, INPUT, INPUT_COLUMN)                              \
    T(SQUARES_LAYER_GATE, "/layers/%03d/summary/squares/layer_gate", F64, WHOLE,          \
      has_squares, OL_INPUT_LAYER_GATE, INPUT, INPUT_COLUMN)                              \
    T(SQUARES_LAYER_OUT, "/layers/%03d/summary/squares/layer_out", F64, WHOLE,            \
      has_squares, OL_INPUT_LAYER_OUT, INPUT, INPUT_COLUMN)
/* clang-format on */

#define OL_TABLE_NAME(name, ...) OL_TABLE_##name,
enum ol_table {
    OL_TABLES(OL_TABLE_NAME) OL_N_TABLES,
    OL_N_FILE_TABLES = OL_TABLE_LN_ATTN, /* the others are of every layer */
    OL_N_LAYER_TABLES = OL_N_TABLES - OL_N_FILE_TABLES,
};
#undef OL_TABLE_NAME

#endif
