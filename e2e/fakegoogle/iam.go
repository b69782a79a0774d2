package fakegoogle

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxLifetime is Google's bound for GenerateAccessToken without an organisation policy that widens
// it.
const maxLifetime = time.Hour

// iam serves the IAM Service Account Credentials API on one port: gRPC, and the REST form of
// GenerateAccessToken.
func (s *Server) iam() http.Handler {
	service := &credentialsService{server: s}
	g := grpc.NewServer()
	credentialspb.RegisterIAMCredentialsServer(g, service)
	return s.rec.wrap("iam", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
			return
		}
		service.rest(w, r)
	}))
}

type credentialsService struct {
	credentialspb.UnimplementedIAMCredentialsServer
	server *Server
}

// GenerateAccessToken is the gRPC form.
func (c *credentialsService) GenerateAccessToken(ctx context.Context,
	req *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
	var authorization string
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if v := md.Get("authorization"); len(v) == 1 {
			authorization = v[0]
		}
	}
	return c.generate(ctx, authorization, req)
}

// generate mints a token of a service account for a caller who may impersonate it.
func (c *credentialsService) generate(ctx context.Context, authorization string,
	req *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
	s := c.server
	raw, ok := strings.CutPrefix(authorization, "Bearer ")
	caller, live := s.tokens.find(raw)
	if !ok || !live {
		return nil, status.Error(codes.Unauthenticated,
			"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication "+
				"credential.")
	}
	s.rec.setAccount(ctx, caller.who())
	if !slices.Contains(caller.scopes, scopeCloudPlatform) && !slices.Contains(caller.scopes, scopeIAM) {
		return nil, status.Error(codes.PermissionDenied, "Request had insufficient authentication scopes.")
	}
	email, ok := strings.CutPrefix(req.GetName(), "projects/-/serviceAccounts/")
	if !ok || email == "" {
		return nil, status.Error(codes.InvalidArgument, "name must be projects/-/serviceAccounts/{e-mail}")
	}
	denied := status.Error(codes.PermissionDenied,
		"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
	if _, ok := s.opts.ServiceAccounts[email]; !ok {
		return nil, denied
	}
	if !s.impersonates(caller, email, req.GetDelegates()) {
		return nil, denied
	}
	if len(req.GetScope()) != 1 || req.GetScope()[0] != ScopeBigQuery && req.GetScope()[0] != ScopeBigQuery+".readonly" {
		return nil, status.Errorf(codes.InvalidArgument, "scope must be %s, or that with .readonly, and nothing else, got %q",
			ScopeBigQuery, req.GetScope())
	}
	lifetime := maxLifetime
	if req.GetLifetime() != nil {
		lifetime = req.GetLifetime().AsDuration()
	}
	if lifetime <= 0 || lifetime > maxLifetime {
		return nil, status.Errorf(codes.InvalidArgument, "lifetime %s is not within 0s and %s", lifetime, maxLifetime)
	}
	expires := time.Now().Add(lifetime)
	return &credentialspb.GenerateAccessTokenResponse{
		AccessToken: s.tokens.mint(minted{account: email, scopes: req.GetScope(), expires: expires}),
		ExpireTime:  timestamppb.New(expires),
	}, nil
}

// impersonates says whether a caller may have a token of an account by way of a chain of delegates,
// each of which may impersonate the next: Options.Impersonators for the first, Options.Delegates
// for the others.
func (s *Server) impersonates(caller minted, email string, delegates []string) bool {
	var chain []string
	for _, d := range delegates {
		name, ok := strings.CutPrefix(d, "projects/-/serviceAccounts/")
		if !ok {
			return false
		}
		chain = append(chain, name)
	}
	chain = append(chain, email)
	if first := chain[0]; first != email && s.opts.Delegates[first] == "" {
		return false // a delegate that nobody has heard of
	}
	if caller.subject == "" || !slices.ContainsFunc(s.opts.Impersonators, func(member string) bool {
		return caller.is(member) || caller.subject == member && strings.HasPrefix(s.opts.Provider, "//iam.googleapis.com/"+caller.pool+"/")
	}) {
		return false
	}
	for i := range chain[1:] {
		if s.opts.Delegates[chain[i]] != chain[i+1] {
			return false
		}
	}
	return true
}

// rest is `POST /v1/projects/-/serviceAccounts/{e-mail}:generateAccessToken`.
func (c *credentialsService) rest(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	name, ok := strings.CutSuffix(path, ":generateAccessToken")
	if !ok || r.Method != http.MethodPost {
		(&apiError{Code: http.StatusNotFound, Reason: "notFound", Message: "Requested entity was not found.", Status: "NOT_FOUND"}).write(w)
		return
	}
	var body struct {
		Scope     []string `json:"scope"`
		Delegates []string `json:"delegates"`
		Lifetime  string   `json:"lifetime"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		(&apiError{Code: http.StatusBadRequest, Reason: "badRequest", Message: "Invalid JSON payload received.",
			Status: "INVALID_ARGUMENT"}).write(w)
		return
	}
	req := &credentialspb.GenerateAccessTokenRequest{Name: name, Scope: body.Scope, Delegates: body.Delegates}
	if body.Lifetime != "" {
		d, err := time.ParseDuration(body.Lifetime)
		if err != nil {
			(&apiError{Code: http.StatusBadRequest, Reason: "badRequest",
				Message: fmt.Sprintf("Invalid value at 'lifetime': %q", body.Lifetime), Status: "INVALID_ARGUMENT"}).write(w)
			return
		}
		req.Lifetime = durationpb.New(d)
	}
	var authorization string
	if v := r.Header.Values("Authorization"); len(v) == 1 {
		authorization = v[0]
	}
	resp, err := c.generate(r.Context(), authorization, req)
	if err != nil {
		st := status.Convert(err)
		code, word := httpStatus(st.Code())
		(&apiError{Code: code, Reason: "forbidden", Message: st.Message(), Status: word}).write(w)
		return
	}
	controlJSON(w, http.StatusOK, map[string]string{
		"accessToken": resp.GetAccessToken(), "expireTime": resp.GetExpireTime().AsTime().Format(time.RFC3339),
	})
}

func httpStatus(c codes.Code) (int, string) {
	switch c {
	case codes.Unauthenticated:
		return http.StatusUnauthorized, "UNAUTHENTICATED"
	case codes.PermissionDenied:
		return http.StatusForbidden, "PERMISSION_DENIED"
	case codes.InvalidArgument:
		return http.StatusBadRequest, "INVALID_ARGUMENT"
	}
	return http.StatusInternalServerError, "INTERNAL"
}
