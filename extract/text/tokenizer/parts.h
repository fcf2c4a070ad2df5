/* What a tokenizer consists of, for those who read it (tokenizer.c) and run it
 * (stream.c). */
#ifndef OL_TOKENIZER_PARTS_H
#define OL_TOKENIZER_PARTS_H

#include "extract/text/tokenizer.h"
#include "extract/text/tokenizer/added.h"
#include "extract/text/tokenizer/bpe.h"
#include "extract/text/tokenizer/decoder.h"
#include "extract/text/tokenizer/normaliser.h"
#include "extract/text/tokenizer/splitter.h"

struct ol_tokenizer {
    struct ol_vocab *vocab;       /* of the model */
    struct ol_vocab *added_vocab; /* texts and ids of the added tokens */
    bool *special;                /* [size of added_vocab] */
    struct ol_added *raw;         /* looked for in the text as it is */
    struct ol_added *normalised;  /* looked for after the normaliser */
    struct ol_normaliser *normaliser;
    struct ol_splitter *splitter;
    struct ol_bpe *bpe;
    struct ol_decoder *decoder;
    struct ol_ids prefix, suffix;
    const char *file; /* its name */
    char sha256[OL_SHA256_HEX_BYTES];
};

#endif
