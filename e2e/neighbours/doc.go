// Neighbours measures what one caller, with or without a token, can do to all others. `make
// neighbours` runs it; docs/performance.md has its table and says how to read it.
//
// Honest callers ask at a steady rate: 200 agents, each with a token of its own, half of them on
// connections that they keep and half on new ones, with queries that the gateway has seen and such
// that it has not. Beside them runs one flood after the other, each at full strength and in a
// process of its own. The same is done to an Envoy of the same configuration whose services decide
// nothing (e2e/system), since the flood takes its share of the machine from anybody: what bqgate
// adds to that is the ratio of the two.
//
// A flood stands for a kind of caller. What it does is written in its own file, as somebody would
// who wants to do harm.
package main
