// Package fakekms stands in for Cloud KMS: encrypt and decrypt of symmetric keys over REST, with
// additional authenticated data and checksums, as
// https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
// describes them. It is strict where a client could be careless: a field that the method does not
// have, a checksum that does not fit, and a ciphertext of another key are errors.
package fakekms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Host is the name that clients know the service by.
const Host = "cloudkms.googleapis.com"

// most is what a software key encrypts at once, in bytes.
const most = 64 << 10

// Fault makes answers wrong on purpose.
type Fault int

// Faults.
const (
	Well              Fault = iota
	PlaintextLost           // does not say that it has verified what was sent
	AnswerDamaged           // a bit of the answer is another one than its checksum says
	OtherKey                // says that it has used another key
	ChecksumsNotKnown       // sends no checksums, as a proxy that drops what it does not know
	Disabled                // the version that decrypts is disabled, and can be enabled again
)

// Service is the stand-in. Make it with New.
type Service struct {
	// allowed says whether the bearer of a token may use keys.
	allowed func(token string) bool

	mu    sync.Mutex
	keys  map[string][]cipher.AEAD // versions by projects/…/cryptoKeys/K; the last one is primary
	fault Fault
	times int // that the fault shows; below 0 for ever
	asked []string
}

// New makes a Service. allowed says whether the bearer of an access token may use its keys.
func New(allowed func(token string) bool) *Service {
	return &Service{allowed: allowed, keys: map[string][]cipher.AEAD{}}
}

// AddVersion makes a key, or a new primary version of it.
func (s *Service) AddVersion(key string) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = append(s.keys[key], aead)
}

// Fail makes the next answers wrong, times of them; for ever if times is below 0.
func (s *Service) Fail(f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.times = f, times
}

// Asked returns the paths that were asked.
func (s *Service) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Service) next(path string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, path)
	if s.times == 0 {
		return Well
	}
	s.times--
	return s.fault
}

type int64Text int64

func (n *int64Text) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64) // both forms are read
	*n = int64Text(v)
	return err
}

func (n int64Text) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatInt(int64(n), 10))
}

type encryptRequest struct {
	Plaintext        []byte     `json:"plaintext"`
	PlaintextCrc32c  *int64Text `json:"plaintextCrc32c"`
	Additional       []byte     `json:"additionalAuthenticatedData"`
	AdditionalCrc32c *int64Text `json:"additionalAuthenticatedDataCrc32c"`
}

type encryptResponse struct {
	Name               string     `json:"name"`
	Ciphertext         []byte     `json:"ciphertext"`
	CiphertextCrc32c   *int64Text `json:"ciphertextCrc32c,omitempty"`
	VerifiedPlaintext  bool       `json:"verifiedPlaintextCrc32c,omitempty"`
	VerifiedAdditional bool       `json:"verifiedAdditionalAuthenticatedDataCrc32c,omitempty"`
	ProtectionLevel    string     `json:"protectionLevel"`
}

type decryptRequest struct {
	Ciphertext       []byte     `json:"ciphertext"`
	CiphertextCrc32c *int64Text `json:"ciphertextCrc32c"`
	Additional       []byte     `json:"additionalAuthenticatedData"`
	AdditionalCrc32c *int64Text `json:"additionalAuthenticatedDataCrc32c"`
}

type decryptResponse struct {
	Plaintext       []byte     `json:"plaintext"`
	PlaintextCrc32c *int64Text `json:"plaintextCrc32c,omitempty"`
	UsedPrimary     bool       `json:"usedPrimary,omitempty"`
	ProtectionLevel string     `json:"protectionLevel"`
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := s.next(r.URL.Path)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !s.allowed(token) {
		fail(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	path, versioned := strings.CutPrefix(r.URL.Path, "/v1/")
	name, method, _ := strings.Cut(path, ":")
	s.mu.Lock()
	versions := slices.Clone(s.keys[name])
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodPost || !versioned || method != "encrypt" && method != "decrypt":
		fail(w, http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	case len(versions) == 0:
		fail(w, http.StatusForbidden, "PERMISSION_DENIED",
			fmt.Sprintf("Permission 'cloudkms.cryptoKeyVersions.useTo%s' denied on resource '%s' (or it may not exist).", method, name))
	case method == "encrypt":
		encrypt(w, r, name, versions, fault)
	default:
		decrypt(w, r, versions, fault)
	}
}

func encrypt(w http.ResponseWriter, r *http.Request, name string, versions []cipher.AEAD, fault Fault) {
	var q encryptRequest
	if !read(w, r, &q) {
		return
	}
	if !fits(w, "plaintext", q.Plaintext, q.PlaintextCrc32c) ||
		!fits(w, "additional_authenticated_data", q.Additional, q.AdditionalCrc32c) {
		return
	}
	if len(q.Plaintext) == 0 || len(q.Plaintext) > most || len(q.Additional) > most {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", "plaintext and additional_authenticated_data must be at most 64KiB.")
		return
	}
	primary := versions[len(versions)-1]
	nonce := make([]byte, primary.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	text := append([]byte{byte(len(versions))}, primary.Seal(nonce, nonce, q.Plaintext, q.Additional)...)
	answer := encryptResponse{
		Name: fmt.Sprintf("%s/cryptoKeyVersions/%d", name, len(versions)), Ciphertext: text, CiphertextCrc32c: sum(text),
		VerifiedPlaintext: q.PlaintextCrc32c != nil, VerifiedAdditional: q.AdditionalCrc32c != nil, ProtectionLevel: "SOFTWARE",
	}
	switch fault {
	case Well:
	case PlaintextLost:
		answer.VerifiedPlaintext = false
	case AnswerDamaged:
		answer.Ciphertext[len(text)-1] ^= 1
	case OtherKey:
		answer.Name = "projects/p/locations/l/keyRings/r/cryptoKeys/other/cryptoKeyVersions/1"
	case ChecksumsNotKnown:
		answer.CiphertextCrc32c, answer.VerifiedPlaintext, answer.VerifiedAdditional = nil, false, false
	}
	write(w, answer)
}

func decrypt(w http.ResponseWriter, r *http.Request, versions []cipher.AEAD, fault Fault) {
	var q decryptRequest
	if !read(w, r, &q) {
		return
	}
	if !fits(w, "ciphertext", q.Ciphertext, q.CiphertextCrc32c) ||
		!fits(w, "additional_authenticated_data", q.Additional, q.AdditionalCrc32c) {
		return
	}
	if fault == Disabled {
		fail(w, http.StatusBadRequest, "FAILED_PRECONDITION", "The key version is not enabled, current state is: DISABLED.")
		return
	}
	const wrong = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
	if len(q.Ciphertext) < 13 || q.Ciphertext[0] == 0 || int(q.Ciphertext[0]) > len(versions) {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", wrong)
		return
	}
	version := int(q.Ciphertext[0])
	aead := versions[version-1]
	plain, err := aead.Open(nil, q.Ciphertext[1:1+aead.NonceSize()], q.Ciphertext[1+aead.NonceSize():], q.Additional)
	if err != nil {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", wrong)
		return
	}
	answer := decryptResponse{
		Plaintext: plain, PlaintextCrc32c: sum(plain), UsedPrimary: version == len(versions), ProtectionLevel: "SOFTWARE",
	}
	switch fault {
	case AnswerDamaged:
		answer.Plaintext[0] ^= 1
	case ChecksumsNotKnown:
		answer.PlaintextCrc32c = nil
	case Well, PlaintextLost, OtherKey, Disabled:
	}
	write(w, answer)
}

func sum(b []byte) *int64Text {
	n := int64Text(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return &n
}

// fits says whether a checksum that was sent is right.
func fits(w http.ResponseWriter, field string, b []byte, given *int64Text) bool {
	if given != nil && *given != *sum(b) {
		fail(
			w,
			http.StatusBadRequest,
			"INVALID_ARGUMENT",
			fmt.Sprintf("The checksum in field %s_crc32c did not match the data in field %s.",
				field, field),
		)
		return false
	}
	return true
}

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		fail(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
		return false
	}
	return true
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

func fail(w http.ResponseWriter, code int, status, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message, "status": status}})
}
