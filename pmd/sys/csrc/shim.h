/*
 * Functions that DPDK has only as static inlines, macros or thread-local variables, which a linker cannot see.
 * Each does what the DPDK name in it does, and has the same contract.
 */
#ifndef PMD_SHIM_H
#define PMD_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

/* Bursts. */
uint16_t pmd_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t room);
uint16_t pmd_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);
uint16_t pmd_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **frames, uint16_t count);

/* Buffers. */
struct rte_mbuf *pmd_mbuf_alloc(struct rte_mempool *pool);
int pmd_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **frames, unsigned int count);
void pmd_mbuf_free(struct rte_mbuf *frame);

/* The hash of receive-side scaling over `count` words of input, bit by bit: what ours is compared with. */
uint32_t pmd_softrss(uint32_t *words, uint32_t count, const uint8_t *key);

/* The calling thread's. */
int pmd_errno(void);
unsigned int pmd_lcore_id(void);

/* The time stamp counter. */
uint64_t pmd_tsc(void);

/* Sends DPDK's log to a copy of the descriptor, line by line. 0, or -1 with errno set. */
int pmd_log_to(int fd);

/* Writes the names of all log types, one a line and 0-terminated, as far as `size` allows. 0, or -1 with errno set. */
int pmd_log_types(char *text, size_t size);

#endif
