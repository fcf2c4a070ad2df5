/* Programs with one mistake each, for the test of what catches them. */
#ifndef CUDASIM_MISTAKES_H
#define CUDASIM_MISTAKES_H

#ifdef __cplusplus
extern "C" {
#endif

struct cudasim_mistake {
    const char *name;
    const char *message; /* part of what is said before the end; NULL: it goes on, and */
    int (*run)(void);    /* returns 1 when what it found shows the mistake */
};
extern const struct cudasim_mistake cudasim_mistakes[];
extern const int cudasim_n_mistakes;

#ifdef __cplusplus
}
#endif

#endif
