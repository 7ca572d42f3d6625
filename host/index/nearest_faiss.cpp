// The one file of C++: faiss has a C interface, but Debian's library is built without it. Nothing
// that it throws leaves this file.
extern "C" {
#include "base/status.h"
}
#include "index/nearest.h"

#include <faiss/IndexHNSW.h>
#include <omp.h>

#include <exception>
#include <new>
#include <vector>

namespace {

constexpr int links = 32;          // of a vector to its neighbours in the graph
constexpr int build_effort = 80;   // vectors looked at for each that is added
constexpr int search_effort = 128; // at least, for each that is found

// faiss takes its threads from OpenMP's setting of the calling thread.
class threads_set {
  public:
    explicit threads_set(int threads) : before(omp_get_max_threads()) {
        if (threads > 0 && threads < before)
            omp_set_num_threads(threads);
    }
    ~threads_set() {
        omp_set_num_threads(before);
    }
    threads_set(const threads_set &) = delete;
    threads_set &operator=(const threads_set &) = delete;

  private:
    int before;
};

// Run `work`; what it throws becomes a status.
template <class Work> blip2_status guarded(Work work) {
    try {
        work();
        return BLIP2_OK;
    } catch (const std::bad_alloc &) {
        return b2_fail_memory();
    } catch (const std::exception &e) {
        return b2_fail(BLIP2_EINTERNAL, "faiss: %.400s", e.what());
    } catch (...) {
        return b2_fail(BLIP2_EINTERNAL, "faiss failed");
    }
}

} // namespace

struct b2_nearest {
    b2_nearest(size_t width, int threads_)
        : index(static_cast<int>(width), links, faiss::METRIC_INNER_PRODUCT), threads(threads_) {
        index.hnsw.efConstruction = build_effort;
    }
    faiss::IndexHNSWFlat index;
    int threads;
};

blip2_status b2_nearest_open(b2_nearest **out, size_t width, uint32_t threads) {
    *out = nullptr;
    return guarded([&] { *out = new b2_nearest(width, static_cast<int>(threads)); });
}

blip2_status b2_nearest_add(b2_nearest *nearest, const float *vectors, size_t count) {
    threads_set set(nearest->threads);

    return guarded([&] { nearest->index.add(static_cast<int64_t>(count), vectors); });
}

blip2_status b2_nearest_find(const b2_nearest *nearest, const float *vector, size_t most,
                             int64_t *out) {
    return guarded([&] {
        std::vector<float> distances(most);
        std::vector<int64_t> found(most);
        faiss::SearchParametersHNSW parameters;

        parameters.efSearch = most > search_effort ? static_cast<int>(most) : search_effort;
        nearest->index.search(1, vector, static_cast<int64_t>(most), distances.data(),
                              found.data(), &parameters);
        for (size_t i = 0; i < most; i++)
            out[i] = found[i];
    });
}

void b2_nearest_close(b2_nearest *nearest) {
    delete nearest;
}
