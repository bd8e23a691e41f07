package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"filippo.io/torchwood"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// check tells of each check on a line. After a checkpoint that is wrong there is nothing left to hold on to.
func check(o options) bool {
	all := true
	run := func(name string, try func() (string, error)) bool {
		said, err := try()
		if err != nil {
			all = false
			fmt.Printf("FAILED %s: %v\n", name, err)
			return false
		}
		fmt.Printf("ok %s: %s\n", name, said)
		return true
	}
	l, err := openLog(o)
	exitOn(err)

	if !run("x/mod checkpoint", l.checkpointByXMod) || !run("torchwood checkpoint", l.checkpointByTorchwood) {
		return false
	}
	run("transparency-dev checkpoint", l.checkpointByTransparencyDev)
	run("x/mod tiles", l.tiles)
	run("x/mod record proofs", l.recordProofs)
	run("x/mod tree proof from tiles", l.treeProofFromTiles)
	run("x/mod tree proof as served", l.treeProofAsServed)
	run("torchwood entries", l.entries)
	run("torchwood tlog-proof", l.proofByTorchwood)
	run("transparency-dev tlog-proof", l.proofByTransparencyDev)
	run("crypto/ed25519 endorsements", l.endorsements)
	return all
}

type remoteLog struct {
	options
	http      *http.Client
	fetcher   *torchwood.TileFetcher
	verifiers []note.Verifier
	policy    torchwood.Policy // signed with each of its keys
	signed    []byte           // the checkpoint
	tree      tlog.Tree        // what it says, once it is verified
}

func openLog(o options) (*remoteLog, error) {
	l := &remoteLog{options: o, http: &http.Client{Transport: bearer(o.key)}}
	var err error
	if l.fetcher, err = torchwood.NewTileFetcher(o.log, torchwood.WithHTTPClient(l.http)); err != nil {
		return nil, err
	}
	var policies []torchwood.Policy
	for _, vkey := range o.vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		l.verifiers = append(l.verifiers, verifier)
		policies = append(policies, torchwood.SingleVerifierPolicy(verifier))
	}
	policies = append(policies, torchwood.OriginPolicy(l.verifiers[0].Name()))
	l.policy = torchwood.ThresholdPolicy(len(policies), policies...)
	l.signed, err = l.get("checkpoint")
	return l, err
}

func (l *remoteLog) checkpointByXMod() (string, error) {
	opened, err := note.Open(l.signed, note.VerifierList(l.verifiers...))
	if err != nil {
		return "", err
	}
	if len(opened.Sigs) != len(l.verifiers) || len(opened.UnverifiedSigs) != 0 {
		return "", fmt.Errorf("%d signatures are verified, %d are not, of %d keys", len(opened.Sigs), len(opened.UnverifiedSigs), len(l.verifiers))
	}
	return fmt.Sprintf("%d signatures", len(opened.Sigs)), nil
}

func (l *remoteLog) checkpointByTorchwood() (string, error) {
	checkpoint, _, err := torchwood.VerifyCheckpoint(l.signed, l.policy)
	if err != nil {
		return "", err
	}
	l.tree = checkpoint.Tree
	return fmt.Sprintf("%d entries of %s", checkpoint.N, checkpoint.Origin), nil
}

func (l *remoteLog) checkpointByTransparencyDev() (string, error) {
	checkpoint, rest, _, err := log.ParseCheckpoint(l.signed, l.verifiers[0].Name(), l.verifiers[0], l.verifiers[1:]...)
	if err != nil {
		return "", err
	}
	if checkpoint.Size != uint64(l.tree.N) || !bytes.Equal(checkpoint.Hash, l.tree.Hash[:]) || len(rest) != 0 {
		return "", errors.New("it is read as another checkpoint")
	}
	return fmt.Sprintf("%d entries", checkpoint.Size), nil
}

// All leaves are fetched, each tile authenticated on the way; then the root is made anew from nothing but them.
func (l *remoteLog) tiles() (string, error) {
	reader := &tileReader{fetcher: l.fetcher, confirmed: map[string]bool{}}
	indexes := make([]int64, l.tree.N)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	leaves, err := tlog.TileHashReader(l.tree, reader).ReadHashes(indexes)
	if err != nil {
		return "", err
	}
	var stored memory
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), leaf, stored)
		if err != nil {
			return "", err
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(l.tree.N, stored)
	if err != nil {
		return "", err
	}
	if root != l.tree.Hash {
		return "", fmt.Errorf("the root is %v, the checkpoint's is %v", root, l.tree.Hash)
	}
	return fmt.Sprintf("the root of %d leaves, from %d tiles", len(leaves), len(reader.confirmed)), nil
}

func (l *remoteLog) recordProofs() (string, error) {
	reader := l.hashes()
	var places []int64
	for _, i := range []int64{0, 1, torchwood.TileWidth - 1, torchwood.TileWidth, l.tree.N / 2, l.tree.N - 2, l.tree.N - 1} {
		if i < 0 || i >= l.tree.N {
			continue
		}
		places = append(places, i)
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return "", err
		}
		path, err := tlog.ProveRecord(l.tree.N, i, reader)
		if err != nil {
			return "", err
		}
		if err := tlog.CheckRecord(path, l.tree.N, l.tree.Hash, i, hashes[0]); err != nil {
			return "", fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return fmt.Sprintf("of entries %v", places), nil
}

func (l *remoteLog) treeProofFromTiles() (string, error) {
	older, err := l.olderTree()
	if err != nil {
		return "", err
	}
	path, err := tlog.ProveTree(l.tree.N, older.N, l.hashes())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d to %d entries", older.N, l.tree.N), tlog.CheckTree(path, l.tree.N, l.tree.Hash, older.N, older.Hash)
}

func (l *remoteLog) treeProofAsServed() (string, error) {
	older, err := l.olderTree()
	if err != nil {
		return "", err
	}
	answer, err := l.get(fmt.Sprintf("consistency?from=%d&to=%d", older.N, l.tree.N))
	if err != nil {
		return "", err
	}
	var served struct{ Hashes tlog.TreeProof }
	if err := json.Unmarshal(answer, &served); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d to %d entries, %d hashes", older.N, l.tree.N, len(served.Hashes)), tlog.CheckTree(served.Hashes, l.tree.N, l.tree.Hash, older.N, older.Hash)
}

// The client compares the hash of every entry with its leaf.
func (l *remoteLog) entries() (string, error) {
	client, err := torchwood.NewClient(l.fetcher)
	if err != nil {
		return "", err
	}
	count := int64(0)
	for range client.AllEntries(context.Background(), l.tree, 0) {
		count++
	}
	if err := client.Err(); err != nil {
		return "", err
	}
	if count != l.tree.N {
		return "", fmt.Errorf("%d of %d entries", count, l.tree.N)
	}
	return fmt.Sprintf("%d", count), nil
}

func (l *remoteLog) proofByTorchwood() (string, error) {
	text, leaf, err := l.provenLeaf()
	if err != nil {
		return "", err
	}
	return "of the event's bytes", torchwood.VerifyProof(l.policy, leaf, text)
}

func (l *remoteLog) proofByTransparencyDev() (string, error) {
	text, leaf, err := l.provenLeaf()
	if err != nil {
		return "", err
	}
	var parsed proof.TLogProof
	if err := parsed.Unmarshal(text); err != nil {
		return "", err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(parsed.Checkpoint, l.verifiers[0].Name(), l.verifiers[0])
	if err != nil {
		return "", err
	}
	path := make(tlog.RecordProof, len(parsed.Hashes))
	for i, hash := range parsed.Hashes {
		path[i] = hash
	}
	if again := parsed.Marshal(); !bytes.Equal(again, text) {
		return "", errors.New("it is written otherwise")
	}
	return fmt.Sprintf("entry %d of %d", parsed.Index, checkpoint.Size), tlog.CheckRecord(path, int64(checkpoint.Size), tlog.Hash(checkpoint.Hash), int64(parsed.Index), leaf)
}

// Each key but the first is vouched for by one before it, as docs/proof.md says.
func (l *remoteLog) endorsements() (string, error) {
	answer, err := os.ReadFile(l.logs)
	if err != nil {
		return "", err
	}
	type key struct {
		PublicKey   []byte `json:"public_key"`
		CreatedAt   string `json:"created_at"`
		Endorsement []byte
	}
	var list struct {
		Logs []struct {
			Origin string
			Keys   []key
		}
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return "", err
	}
	for _, listed := range list.Logs {
		if listed.Origin != l.verifiers[0].Name() {
			continue
		}
		for i, newer := range listed.Keys[1:] {
			if !slices.ContainsFunc(listed.Keys[:i+1], func(older key) bool {
				text := fmt.Sprintf("agent-audit log key endorsement v1\nold %s\nnew %s\ncreated %s\n",
					base64.StdEncoding.EncodeToString(older.PublicKey), base64.StdEncoding.EncodeToString(newer.PublicKey), newer.CreatedAt)
				return ed25519.Verify(older.PublicKey, []byte(text), newer.Endorsement)
			}) {
				return "", fmt.Errorf("key %d is not endorsed by one before it", i+2)
			}
		}
		return fmt.Sprintf("%d", len(listed.Keys)-1), nil
	}
	return "", errors.New("the log is not listed")
}

// provenLeaf makes the leaf of the event out of its bytes, and of what the proof says beside them.
func (l *remoteLog) provenLeaf() (text []byte, leaf tlog.Hash, err error) {
	if text, err = os.ReadFile(l.proof); err != nil {
		return nil, leaf, err
	}
	raw, err := os.ReadFile(l.event)
	if err != nil {
		return nil, leaf, err
	}
	said, err := torchwood.ProofExtraData(text)
	if err != nil {
		return nil, leaf, err
	}
	var extra struct {
		ReceivedAt int64 `json:"received_at_us"`
		Salt       []byte
	}
	if err := json.Unmarshal(said, &extra); err != nil {
		return nil, leaf, err
	}
	return text, tlog.RecordHash(entry(l.tenant, l.id, extra.ReceivedAt, extra.Salt, raw)), nil
}

func (l *remoteLog) olderTree() (tlog.Tree, error) {
	signed, err := os.ReadFile(l.older)
	if err != nil {
		return tlog.Tree{}, err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, l.policy)
	return checkpoint.Tree, err
}

func (l *remoteLog) hashes() tlog.HashReader {
	return tlog.TileHashReader(l.tree, &tileReader{fetcher: l.fetcher, confirmed: map[string]bool{}})
}

func (l *remoteLog) get(path string) ([]byte, error) {
	response, err := l.http.Get(l.log + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, response.Status)
	}
	return body, err
}
