package main

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"strings"

	"filippo.io/torchwood"
	cosigning "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// signed is what agent-audit has to be able to open.
type signed struct {
	PrivateKey  string   `json:"private_key"` // made the note
	VerifierKey string   `json:"verifier_key"`
	Note        string   `json:"note"`
	Cosigned    string   `json:"cosigned"` // the checkpoint, with signatures of these
	Cosigners   []string `json:"cosigners"`
}

func sign(in io.Reader, out io.Writer) error {
	checkpoint, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	text, signatures, _ := strings.Cut(string(checkpoint), "\n\n")
	text += "\n"

	private, public, err := note.GenerateKey(nil, "go.example/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return err
	}
	alone, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}

	_, witness, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	first, err := torchwood.NewCosignatureSigner("torchwood.example/witness", witness)
	if err != nil {
		return err
	}
	private2, public2, err := note.GenerateKey(nil, "transparency-dev.example/witness")
	if err != nil {
		return err
	}
	second, err := cosigning.NewSignerForCosignatureV1(private2)
	if err != nil {
		return err
	}
	public2, err = cosigning.VKeyToCosignatureV1(public2)
	if err != nil {
		return err
	}
	// A witness answers with lines; they are put below those of the log.
	cosigned, err := note.Sign(&note.Note{Text: text}, first, second)
	if err != nil {
		return err
	}
	_, lines, _ := strings.Cut(string(cosigned), "\n\n")
	return json.NewEncoder(out).Encode(signed{
		PrivateKey: private, VerifierKey: public, Note: string(alone),
		Cosigned: text + "\n" + signatures + lines, Cosigners: []string{first.Verifier().String(), public2},
	})
}
