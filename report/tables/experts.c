/* Experts: the largest outputs. */
#include <math.h>
#include <stdlib.h>

#include "report/tables.h"

static const struct ol_column super_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_max", "of the largest, %", OL_COLUMN_PERCENT},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {"feature", "feature", OL_COLUMN_LABEL},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"input_column", "input column", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"token_id", "token", OL_COLUMN_LABEL},
    {"piece", "text", OL_COLUMN_PIECE},
    {"sequence", "sequence", OL_COLUMN_LABEL},
    {"position", "position", OL_COLUMN_LABEL},
    {0}};

const struct ol_table_source ol_super_experts_table = {
    "super_experts", "Super experts by the published rule", super_experts_columns,
    "super_experts.experts", NULL};

static const struct ol_column robust_experts_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {"share_of_median", "times the median", OL_COLUMN_MAGNITUDE},
    {"z", "robust z", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_robust_experts_table = {
    "robust_experts", "Super experts by robust z-score", robust_experts_columns,
    "super_experts.robust.experts", NULL};

static const struct ol_column units_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit=:unit", "unit", OL_COLUMN_TEXT},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"gate_mean", "mean gate", OL_COLUMN_MAGNITUDE},
    {"input", "max |input|", OL_COLUMN_MAGNITUDE},
    {"output", "max |output|", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_units_table = {
    "units", "Largest input and output of every expert", units_columns,
    "super_experts.layers.units", NULL};
