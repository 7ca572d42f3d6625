/* The compiled .cu files of this build, one image each: fatbins (SASS for each architecture, PTX
 * for those to come) in the product, PTX text in tests that run it on a GPU in software. Both
 * define the same symbols, so that the program that is linked decides. */
#ifndef B2_IMAGE_TABLE_H
#define B2_IMAGE_TABLE_H

#define B2_IMAGE_MAP(X)                                                                            \
    X(norm)                                                                                        \
    X(rows)                                                                                        \
    X(kv)                                                                                          \
    X(attention_f32)                                                                               \
    X(attention_prefill)                                                                           \
    X(attention_decode)                                                                            \
    X(choose)                                                                                      \
    X(top_k)                                                                                       \
    X(sample)                                                                                      \
    X(activate)                                                                                    \
    X(rope)                                                                                        \
    X(itc)                                                                                         \
    X(patch)                                                                                       \
    X(resize)

typedef enum b2_image_id {
#define B2_IMAGE_ENUM(name) B2_IMAGE_##name,
    B2_IMAGE_MAP(B2_IMAGE_ENUM)
#undef B2_IMAGE_ENUM
        B2_IMAGE_COUNT
} b2_image_id;

typedef struct b2_image {
    const char *name; /* of the .cu file, without its ending */
    const void *data; /* fatbin, or PTX with a terminating zero */
} b2_image;

extern const b2_image b2_images[B2_IMAGE_COUNT];

#endif
