// What this machine could do at best: memory read speed and arithmetic in registers.
//
// Built and run by limits.py:  cc -O3 -march=native -pthread limits.c -o limits && ./limits THREADS
// Prints one JSON object: `read_gb_s` (10^9 bytes; 1 GiB in huge pages where the system gives them,
// the best over numbers of streams per thread and prefetch distances), `fp32_gflop_s` (multiply-add
// counts two) and `int8_gop_s` (likewise; 0 without AVX512-VNNI). Each is the best of several tries.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

typedef uint64_t words __attribute__((vector_size(64)));
typedef float floats __attribute__((vector_size(VECTOR_BYTES)));

enum { MAX_THREADS = 256, TRIES = 4, CHAINS = 12, ROUNDS = 4000000 };
static const size_t ARRAY_BYTES = (size_t)1 << 30;

struct job {
    void (*work)(struct job *);
    const char *bytes;  // this thread's part of the array
    size_t n_bytes, prefetch_bytes;
    int n_streams;
    volatile double result;  // keeps the work from being left out
};

// Reads `n_streams` parts side by side, a cache line of each in turn.
static inline void read_streams(struct job *job, const int n_streams) {
    const size_t part = job->n_bytes / n_streams / 256 * 256;
    words sums[8] = {0};
    for (size_t at = 0; at < part; at += 256) {
#pragma GCC unroll 8
        for (int stream = 0; stream < n_streams; stream++) {
            const char *from = job->bytes + stream * part + at;
#pragma GCC unroll 4
            for (int line = 0; line < 256; line += 64) {
                if (job->prefetch_bytes) __builtin_prefetch(from + line + job->prefetch_bytes);
                sums[stream] += *(const words *)(from + line);
            }
        }
    }
    for (int stream = 1; stream < n_streams; stream++) sums[0] += sums[stream];
    job->result = (double)sums[0][0];
}

static void work_read(struct job *job) {
    switch (job->n_streams) {
        case 1: read_streams(job, 1); break;
        case 2: read_streams(job, 2); break;
        case 4: read_streams(job, 4); break;
        default: read_streams(job, 8);
    }
}

static void work_fp32(struct job *job) {
    floats chains[CHAINS], scale, step;
    for (unsigned i = 0; i < VECTOR_BYTES / sizeof(float); i++) {
        scale[i] = 0.999f;
        step[i] = 0.001f;
    }
    for (int c = 0; c < CHAINS; c++) chains[c] = step * (float)c;
    for (long round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) chains[c] = chains[c] * scale + step;
    }
    for (int c = 1; c < CHAINS; c++) chains[0] += chains[c];
    job->result = chains[0][0];
}

#if defined(__AVX512VNNI__)
static void work_int8(struct job *job) {
    __m512i chains[CHAINS], left = _mm512_set1_epi8(3), right = _mm512_set1_epi8(-2);
    for (int c = 0; c < CHAINS; c++) chains[c] = _mm512_set1_epi32(c);
    for (long round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) chains[c] = _mm512_dpbusd_epi32(chains[c], left, right);
    }
    for (int c = 1; c < CHAINS; c++) chains[0] = _mm512_add_epi32(chains[0], chains[c]);
    job->result = _mm512_reduce_add_epi32(chains[0]);
}
#endif

static void *run(void *job) {
    ((struct job *)job)->work(job);
    return NULL;
}

// Seconds that all threads together need for their jobs.
static double timed(struct job *jobs, int n_threads) {
    pthread_t threads[MAX_THREADS];
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int t = 1; t < n_threads; t++) pthread_create(&threads[t], NULL, run, &jobs[t]);
    run(&jobs[0]);
    for (int t = 1; t < n_threads; t++) pthread_join(threads[t], NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    return (double)(ended.tv_sec - began.tv_sec) + 1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
}

static double best_read_gb_s(struct job *jobs, int n_threads, char *array) {
    const size_t distances[] = {0, 1024, 2048, 4096};
    const size_t part = ARRAY_BYTES / n_threads / 4096 * 4096;
    double best = 0;
    for (int streams = 1; streams <= 8; streams *= 2) {
        for (int d = 0; d < 4; d++) {
            for (int t = 0; t < n_threads; t++) {
                jobs[t] = (struct job){work_read, array + t * part, part, distances[d], streams, 0};
            }
            for (int try = 0; try < TRIES; try++) {
                const double gb_s = (double)part * n_threads / timed(jobs, n_threads) / 1e9;
                if (gb_s > best) best = gb_s;
            }
        }
    }
    return best;
}

static double best_giga_s(struct job *jobs, int n_threads, void (*work)(struct job *), int lanes) {
    double best = 0;
    for (int t = 0; t < n_threads; t++) jobs[t] = (struct job){work, NULL, 0, 0, 0, 0};
    for (int try = 0; try < TRIES; try++) {
        const double operations = 2.0 * lanes * CHAINS * ROUNDS * n_threads;
        const double giga_s = operations / timed(jobs, n_threads) / 1e9;
        if (giga_s > best) best = giga_s;
    }
    return best;
}

int main(int n_arguments, char **arguments) {
    static struct job jobs[MAX_THREADS];
    const int n_threads = n_arguments > 1 ? atoi(arguments[1]) : 1;
    if (n_threads < 1 || n_threads > MAX_THREADS) {
        fprintf(stderr, "usage: limits THREADS (1 to %d)\n", MAX_THREADS);
        return 2;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const size_t huge = (size_t)2 << 20;
    char *mapped = mmap(NULL, ARRAY_BYTES + huge, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    char *array = mapped + (huge - (uintptr_t)mapped % huge) % huge;
#if defined(MADV_HUGEPAGE)
    madvise(array, ARRAY_BYTES, MADV_HUGEPAGE);
#endif
    for (size_t at = 0; at < ARRAY_BYTES; at += sizeof at) *(size_t *)(array + at) = at;
    const double read = best_read_gb_s(jobs, n_threads, array);
    const double fp32 = best_giga_s(jobs, n_threads, work_fp32, VECTOR_BYTES / sizeof(float));
    double int8 = 0;
#if defined(__AVX512VNNI__)
    int8 = best_giga_s(jobs, n_threads, work_int8, 64);
#endif
    printf("{\"threads\": %d, \"read_gb_s\": %.2f, \"fp32_gflop_s\": %.1f, \"int8_gop_s\": %.1f}\n",
           n_threads, read, fp32, int8);
    return 0;
}
