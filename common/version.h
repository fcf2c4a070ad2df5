/* The version of the tools and of the file formats that they share. */
#ifndef OL_VERSION_H
#define OL_VERSION_H

#define OL_VERSION "0.2.0"

#define OL_ACTIVATIONS_FORMAT         "ol-activations"
#define OL_ACTIVATIONS_FORMAT_VERSION 1
#define OL_RESULTS_FORMAT             "ol-results"
#define OL_RESULTS_FORMAT_VERSION     2
/* The first tools that write it. */
#define OL_RESULTS_SINCE "0.2.0"

#endif
