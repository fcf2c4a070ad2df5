/* Every block of the results beyond the counts of LLM.int8: one line each. What reads,
 * describes or lists blocks goes through this table. */
#ifndef OL_RESULTS_BLOCKS_H
#define OL_RESULTS_BLOCKS_H

#include "common/results/ablation.h"
#include "common/results/attention_sinks.h"
#include "common/results/attribution.h"
#include "common/results/choices.h"
#include "common/results/co_activation.h"
#include "common/results/distributions.h"
#include "common/results/expert_flips.h"
#include "common/results/expert_quantisation.h"
#include "common/results/fp4.h"
#include "common/results/generators.h"
#include "common/results/head_outputs.h"
#include "common/results/links.h"
#include "common/results/llm_int8.h"
#include "common/results/massive.h"
#include "common/results/onset.h"
#include "common/results/perplexity.h"
#include "common/results/phase_shift.h"
#include "common/results/position_map.h"
#include "common/results/positions.h"
#include "common/results/quantisation.h"
#include "common/results/residual_sinks.h"
#include "common/results/residual_streams.h"
#include "common/results/router.h"
#include "common/results/sites.h"
#include "common/results/steps.h"
#include "common/results/super_experts.h"
#include "common/results/sweep.h"
#include "common/results/tokens.h"
#include "common/results/uncertainty.h"

/* clang-format off */
#define OL_BLOCKS_FIELDS(F)                                                      \
    F(OBJECT(ol_llm_int8), llm_int8, OL_NULL | OL_OLD, "")                       \
    F(OBJECT(ol_routing), router, OL_NULL | OL_OLD, "")                          \
    F(OBJECT(ol_distributions), distributions, OL_NULL | OL_OLD, "")             \
    F(OBJECT(ol_massive_block), massive, OL_NULL | OL_OLD, "")                   \
    F(OBJECT(ol_super_block), super_experts, OL_NULL | OL_OLD, "")               \
    F(OBJECT(ol_attribution), attribution, OL_NULL | OL_OLD, "")                 \
    F(LIST(ol_link), links, OL_NULL | OL_OLD, "")                                \
    F(OBJECT(ol_tokens), tokens, OL_NULL | OL_OLD, "")                           \
    F(OBJECT(ol_positions), positions, OL_NULL | OL_OLD, "")                     \
    F(OBJECT(ol_position_map), position_map, OL_NULL | OL_OLD, "")               \
    F(OBJECT(ol_onset), onset, OL_NULL | OL_OLD, "")                             \
    F(OBJECT(ol_sweep), sweep, OL_NULL | OL_OLD, "")                             \
    F(OBJECT(ol_uncertainty), uncertainty, OL_NULL | OL_OLD, "")                 \
    F(OBJECT(ol_phase_shift), phase_shift, OL_NULL | OL_OLD, "")                 \
    F(OBJECT(ol_quantisation), quantisation, OL_NULL | OL_OLD, "")               \
    F(OBJECT(ol_expert_quantisation), expert_quantisation, OL_NULL | OL_OLD, "") \
    F(OBJECT(ol_ablation), ablation, OL_NULL | OL_OLD, "")                       \
    F(OBJECT(ol_co_activation), co_activation, OL_NULL | OL_OLD, "")             \
    F(OBJECT(ol_generators), generators, OL_NULL | OL_OLD, "")                   \
    F(OBJECT(ol_choices), choices, OL_NULL | OL_OLD, "")                         \
    F(OBJECT(ol_fp4_block), fp4, OL_NULL | OL_OLD, "")                           \
    F(OBJECT(ol_attention_sinks), attention_sinks, OL_NULL | OL_OLD, "")         \
    F(OBJECT(ol_residual_sinks), residual_sinks, OL_NULL | OL_OLD, "")           \
    F(OBJECT(ol_steps), steps, OL_NULL | OL_OLD, "")                             \
    F(OBJECT(ol_expert_flips), expert_flips, OL_NULL | OL_OLD, "")               \
    F(OBJECT(ol_head_outputs), head_outputs, OL_NULL | OL_OLD, "")               \
    F(OBJECT(ol_residual_streams), residual_streams, OL_NULL | OL_OLD, "")       \
    F(LIST(ol_site_values), sites, OL_OLD, "")                                   \
    F(OBJECT(ol_perplexity), perplexity, OL_NULL | OL_OLD, "")
OL_STRUCT(ol_blocks, OL_BLOCKS_FIELDS, "")
/* clang-format on */

#endif
