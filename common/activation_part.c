/* What a file says of the run that it holds a part of. */
#include "common/activation_content.h"

int ol_activation_check_part(const char *path, const struct ol_activation_info *info,
                             int64_t n_sequences, struct ol_error *err)
{
    const int64_t first = info->part.first_sequence, all = info->part.run_sequences;
    if (info->part.n_parts == 0 && info->part.number == 0)
        return 0;
    if (info->part.number < 1 || info->part.number > info->part.n_parts)
        return ol_fail(err, "%s: /input: part is %lld, expected 1 to n_parts, %lld", path,
                       (long long)info->part.number, (long long)info->part.n_parts);
    if (first < 0 || all > INT32_MAX || first > all || n_sequences > all - first)
        return ol_fail(err,
                       "%s: /input: %lld sequences from first_sequence %lld on are not "
                       "among the run's, run_sequences %lld",
                       path, (long long)n_sequences, (long long)first, (long long)all);
    return 0;
}
