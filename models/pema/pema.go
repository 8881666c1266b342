// Package pema is Partial Embedding Matrix Adaptation (Williams & Aletras, 2025): train only the rows of the embedding matrix
// that a corpus uses, and put them back afterwards.
//
// A Selection says which rows; Gather reads them, and only them, from a mapped checkpoint; Full and Restore put the trained
// rows back as a stream. The full matrix is never in memory.
package pema
