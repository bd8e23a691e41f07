package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// tileReader reads tiles for x/mod, whose own paths have the height of tiles in them; those of C2SP tlog-tiles do not.
type tileReader struct {
	fetcher   *torchwood.TileFetcher
	confirmed map[string]bool // paths of tiles that were found to be of the tree
}

func (r *tileReader) Height() int { return torchwood.TileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	return r.fetcher.ReadTiles(context.Background(), tiles)
}

func (r *tileReader) SaveTiles(tiles []tlog.Tile, _ [][]byte) {
	for _, tile := range tiles {
		r.confirmed[torchwood.TilePath(tile)] = true
	}
}

// memory holds hashes in the order in which x/mod stores them.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = m[index]
	}
	return hashes, nil
}

// bearer sends the key with every request.
type bearer string

func (key bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+string(key))
	return http.DefaultTransport.RoundTrip(request)
}

// entry of an event, version 1, as docs/proof.md describes it.
func entry(tenant, id string, receivedAtMicros int64, salt, raw []byte) []byte {
	digest := sha256.Sum256(append(append([]byte{}, salt...), raw...))
	bytes := append([]byte{1, byte(len(tenant))}, tenant...)
	bytes = append(append(bytes, byte(len(id))), id...)
	bytes = binary.BigEndian.AppendUint64(bytes, uint64(receivedAtMicros))
	return append(bytes, digest[:]...)
}
