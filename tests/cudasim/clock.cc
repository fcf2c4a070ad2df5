/* Time on simulated devices: nothing takes any but what cudasim_set_speeds says, and that
 * is time of a clock of their own. What runs on a stream begins when the stream has come
 * so far, when the host has queued it, and when the link or the device's processors,
 * whichever it needs, have a gap that is long enough. A thread's time goes on by what its
 * calls take, and by waiting.
 *
 *     to the device    |--w0--|--w1--|--w2--|--w3--|
 *     compute                 |--k0--|      |--k1--|--k2--|
 *
 * Time comes from one thread of the host to another with what they tell each other
 * (cudasim_host_not_before), and not else: when the machine lets a thread run shows in no
 * time. Streams that compute send little, for kernels, and that in turn with what a
 * stream of copies has queued, behind the copy that is under way. */
#include "internal.h"

#include <algorithm>
#include <map>

namespace
{

/* Stretches of time in which something works: begin, end. */
using stretches = std::map<double, double>;

struct cudasim_speeds speeds;
bool runs; /* time passes */
unsigned generation;
double wall;

enum { NONE = -1 };

struct host {
    unsigned generation;
    double now;
    int drives; /* the device that it last had compute; or NONE */
};
thread_local struct host host = {0, 0, NONE};

struct device {
    stretches busy[CUDASIM_N_RESOURCES];
    double owed;  /* what went over the link in turn, and the next copy is late by */
    double asked; /* how far the thread is that drives it */
};

/* Made when it is first asked for: a program's settings come before its static objects.
 */
device *devices()
{
    static device all[CUDASIM_MAX_DEVICES];
    return all;
}

/* When what is under way at `start` is done. */
double end_of_one(const stretches &s, double start)
{
    const auto next = s.upper_bound(start);
    return next == s.begin() ? start : std::max(start, std::prev(next)->second);
}

/* The end of `seconds` in the first gap that is long enough, not before `start`; apart:
 * it is not joined with its neighbours. */
double take_gap(stretches &s, double start, double seconds, bool apart = false)
{
    auto next = s.upper_bound(start);
    if (next != s.begin())
        start = std::max(start, std::prev(next)->second);
    for (; next != s.end() && next->first < start + seconds; ++next)
        start = next->second;
    const double end = start + seconds;
    auto after = s.emplace(start, end).first;
    if (apart)
        return end;
    if (after != s.begin() && std::prev(after)->second == start) {
        auto before = std::prev(after);
        before->second = end;
        s.erase(after);
        after = before;
    }
    auto following = std::next(after);
    if (following != s.end() && following->first == end) {
        after->second = following->second;
        s.erase(following);
    }
    return end;
}

double total_of(const stretches &s)
{
    double total = 0;
    for (const auto &one : s)
        total += one.second - one.first;
    return total;
}

/* Of two, in which both work. */
double overlap_of(const stretches &a, const stretches &b)
{
    double total = 0;
    for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
        const double first = std::max(x->first, y->first);
        const double end = std::min(x->second, y->second);
        total += std::max(end - first, 0.0);
        x->second < y->second ? ++x : ++y;
    }
    return total;
}

} // namespace

void cudasim_set_speeds(const struct cudasim_speeds *s)
{
    runs = s != nullptr;
    speeds = runs ? *s : cudasim_speeds{};
    for (int d = 0; d < CUDASIM_MAX_DEVICES; d++)
        devices()[d] = {};
    wall = 0;
    generation++;
}

struct cudasim_times cudasim_timed(void)
{
    struct cudasim_times t = {};
    t.wall = wall;
    for (int d = 0; d < CUDASIM_MAX_DEVICES; d++) {
        const stretches *busy = devices()[d].busy;
        t.wall = std::max(t.wall, devices()[d].asked);
        t.to_device += total_of(busy[CUDASIM_TO_DEVICE]);
        t.from_device += total_of(busy[CUDASIM_FROM_DEVICE]);
        t.compute += total_of(busy[CUDASIM_COMPUTE]);
        t.overlap += overlap_of(busy[CUDASIM_TO_DEVICE], busy[CUDASIM_COMPUTE]);
    }
    return t;
}

struct cudasim_cost cudasim_copying(bool to_device, size_t bytes)
{
    return {to_device ? CUDASIM_TO_DEVICE : CUDASIM_FROM_DEVICE,
            runs ? speeds.latency + (double)bytes / speeds.link : 0, 0};
}

struct cudasim_cost cudasim_fetching(int from, size_t bytes)
{
    return {CUDASIM_FROM_PEER, runs ? speeds.latency + (double)bytes / speeds.peer : 0,
            from};
}

struct cudasim_cost cudasim_running(double n_threads)
{
    return {CUDASIM_COMPUTE, runs ? speeds.launch + n_threads / speeds.threads : 0, 0};
}

struct cudasim_cost cudasim_multiplying(double operations)
{
    return {CUDASIM_COMPUTE, runs ? speeds.launch + operations / speeds.products : 0, 0};
}

static void begin_host(void)
{
    if (host.generation != generation)
        host = {generation, 0, NONE};
}

double cudasim_host_moment(void)
{
    if (!runs)
        return 0;
    begin_host();
    return host.now;
}

void cudasim_host_learns(double moment)
{
    if (!runs)
        return;
    begin_host();
    host.now = std::max(host.now, moment);
}

/* The thread's clock goes on to `until` at least. */
static double host_goes_on(int device, bool computes, double until)
{
    if (!runs)
        return 0;
    begin_host();
    double &asked = devices()[device].asked;
    if (computes && host.drives != device) {
        host.now = std::max(host.now, asked);
        host.drives = device;
    }
    host.now = std::max(host.now + speeds.call, until);
    if (host.drives == device)
        asked = std::max(asked, host.now);
    return host.now;
}

double cudasim_host_call(int device, bool computes)
{
    return host_goes_on(device, computes, 0);
}

void cudasim_host_waits(int device, double until)
{
    host_goes_on(device, false, until);
}

static double over_link(struct device &d, double seconds, double start, bool in_turn)
{
    stretches &link = d.busy[CUDASIM_TO_DEVICE];
    if (in_turn) {
        d.owed += seconds;
        return end_of_one(link, start) + seconds;
    }
    const double end = take_gap(link, start, seconds + d.owed, true);
    d.owed = 0;
    return end;
}

double cudasim_works(int device, const struct cudasim_cost &cost, double start,
                     bool in_turn)
{
    struct device &d = devices()[device];
    if (!runs || cost.seconds <= 0)
        return start;
    double end = cost.resource == CUDASIM_TO_DEVICE
                     ? over_link(d, cost.seconds, start, in_turn)
                     : take_gap(d.busy[cost.resource], start, cost.seconds);
    if (cost.resource == CUDASIM_FROM_PEER)
        end = std::max(end, take_gap(devices()[cost.other].busy[CUDASIM_TO_PEER], start,
                                     cost.seconds));
    wall = std::max(wall, end);
    return end;
}
