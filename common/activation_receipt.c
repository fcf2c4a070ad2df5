/* What a run cost, as attributes of /receipt and, older than these, peak_memory of /. */
#include <stddef.h>

#include "common/activation_content.h"

static const struct {
    const char *name;
    bool is_real;
    size_t offset;   /* in struct ol_activation_receipt */
    bool is_younger; /* files of earlier versions have it not */
} receipt_attributes[] = {
#define AT(member) offsetof(struct ol_activation_receipt, member)
    {"bytes_read", false, AT(bytes_read), false},
    {"bytes_fetched", false, AT(bytes_fetched), true},
    {"requests", false, AT(n_requests), true},
    {"link_bytes", false, AT(link_bytes), false},
    {"peer_bytes", false, AT(peer_bytes), true},
    {"copied_bytes", false, AT(copied_bytes), true},
    {"peak_device_memory", false, AT(peak_device_memory), false},
    {"n_devices", false, AT(n_devices), false},
    {"seconds", true, AT(seconds), false},
    {"disk_seconds", true, AT(disk_seconds), false},
    {"copy_seconds", true, AT(copy_seconds), true},
    {"link_seconds", true, AT(link_seconds), false},
    {"compute_seconds", true, AT(compute_seconds), false},
    {"writer_seconds", true, AT(writer_seconds), false},
#undef AT
};
enum { N_RECEIPT_ATTRIBUTES = sizeof receipt_attributes / sizeof receipt_attributes[0] };

int ol_activation_receipt_write(struct ol_h5 *h,
                                const struct ol_activation_receipt *receipt,
                                struct ol_error *err)
{
    for (int i = 0; i < N_RECEIPT_ATTRIBUTES; i++) {
        const char *name = receipt_attributes[i].name;
        const void *value = (const char *)receipt + receipt_attributes[i].offset;
        if ((receipt_attributes[i].is_real
                 ? ol_h5_put_real(h, "/receipt", name, *(const double *)value, err)
                 : ol_h5_put_int(h, "/receipt", name, *(const int64_t *)value, err)) != 0)
            return -1;
    }
    return receipt->peak_memory > 0
               ? ol_h5_put_int(h, "/", "peak_memory", receipt->peak_memory, err)
               : 0;
}

int ol_activation_receipt_read(const struct ol_h5 *h,
                               struct ol_activation_receipt *receipt,
                               struct ol_error *err)
{
    bool there;
    if (ol_h5_exists(h, "/receipt", &there, err) != 0)
        return -1;
    if (!there)
        return 0;
    for (int i = 0; i < N_RECEIPT_ATTRIBUTES; i++) {
        const char *name = receipt_attributes[i].name;
        void *value = (char *)receipt + receipt_attributes[i].offset;
        if (receipt_attributes[i].is_younger &&
            (ol_h5_has_attribute(h, "/receipt", name, &there, err) != 0 || !there)) {
            if (err->text[0] != '\0')
                return -1;
            continue;
        }
        if ((receipt_attributes[i].is_real
                 ? ol_h5_get_real(h, "/receipt", name, value, err)
                 : ol_h5_get_int(h, "/receipt", name, value, err)) != 0)
            return -1;
    }
    if (ol_h5_has_attribute(h, "/", "peak_memory", &there, err) != 0)
        return -1;
    return there ? ol_h5_get_int(h, "/", "peak_memory", &receipt->peak_memory, err) : 0;
}
