package envoy

import (
	exprv3 "cel.dev/expr"
	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	celv3 "github.com/cncf/xds/go/xds/type/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/metadata/v3"
	valuev3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
)

const (
	// ReplyMetadata is set to true in the metadata of ext_authz's own replies, and in no other: the
	// request ends there, and its answer is in the record already.
	ReplyMetadata = "bqgate_reply"

	// extAuthzDenied is who made a reply, in Envoy's words (response.code_details).
	extAuthzDenied = "ext_authz_denied"
)

// unlessReplied takes ext_proc out of the way of ext_authz's own replies, which it would let pass
// as they are: a stream for each of them costs as much as the whole decision.
//
// Two things must be true, and either alone keeps ext_proc in. ext_authz says that it replies, in
// metadata that no client can set. And Envoy says that it is ext_authz's denial that goes out. The
// first is asked before ext_proc sees a request that goes on, and is final then: whatever an
// upstream answers, ext_proc reads it.
func unlessReplied(name string, filter proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{
		TypedConfig: packed(&matchingv3.ExtensionWithMatcher{ExtensionConfig: extension(name, filter), XdsMatcher: replied()}),
	}}
}

// replied matches what ext_authz has answered.
func replied() *matcherv3.Matcher {
	return &matcherv3.Matcher{MatcherType: &matcherv3.Matcher_MatcherList_{MatcherList: &matcherv3.Matcher_MatcherList{
		Matchers: []*matcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: &matcherv3.Matcher_MatcherList_Predicate{
				MatchType: &matcherv3.Matcher_MatcherList_Predicate_AndMatcher{
					AndMatcher: &matcherv3.Matcher_MatcherList_Predicate_PredicateList{
						Predicate: []*matcherv3.Matcher_MatcherList_Predicate{
							input(&matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
								Input: &xdscorev3.TypedExtensionConfig{
									Name: "envoy.matching.inputs.dynamic_metadata",
									TypedConfig: packed(&inputsv3.DynamicMetadataInput{
										Filter: filterExtAuthz, Path: []*inputsv3.DynamicMetadataInput_PathSegment{{
											Segment: &inputsv3.DynamicMetadataInput_PathSegment_Key{Key: ReplyMetadata},
										}},
									}),
								},
								Matcher: customMatch("envoy.matching.matchers.metadata_matcher", &metadatav3.Metadata{
									Value: &valuev3.ValueMatcher{MatchPattern: &valuev3.ValueMatcher_BoolMatch{BoolMatch: true}},
								}),
							}),
							input(&matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
								Input: &xdscorev3.TypedExtensionConfig{
									Name:        "envoy.matching.inputs.cel_data_input",
									TypedConfig: packed(&matcherv3.HttpAttributesCelMatchInput{}),
								},
								Matcher: customMatch("envoy.matching.matchers.cel_matcher", &matcherv3.CelMatcher{
									ExprMatch: &celv3.CelExpression{CelExprParsed: &exprv3.ParsedExpr{Expr: madeBy(extAuthzDenied)}},
								}),
							}),
						},
					},
				},
			},
			OnMatch: &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{
				Action: &xdscorev3.TypedExtensionConfig{Name: "skip", TypedConfig: packed(&actionv3.SkipFilter{})},
			}},
		}},
	}}}
}

// madeBy is the expression response.code_details == "details", parsed: Envoy takes no text here.
func madeBy(details string) *exprv3.Expr {
	return &exprv3.Expr{Id: 1, ExprKind: &exprv3.Expr_CallExpr{CallExpr: &exprv3.Expr_Call{
		Function: "_==_",
		Args: []*exprv3.Expr{
			{Id: 2, ExprKind: &exprv3.Expr_SelectExpr{SelectExpr: &exprv3.Expr_Select{
				Operand: &exprv3.Expr{Id: 3, ExprKind: &exprv3.Expr_IdentExpr{IdentExpr: &exprv3.Expr_Ident{Name: "response"}}},
				Field:   "code_details",
			}}},
			{Id: 4, ExprKind: &exprv3.Expr_ConstExpr{ConstExpr: &exprv3.Constant{
				ConstantKind: &exprv3.Constant_StringValue{StringValue: details},
			}}},
		},
	}}}
}

func input(p *matcherv3.Matcher_MatcherList_Predicate_SinglePredicate) *matcherv3.Matcher_MatcherList_Predicate {
	return &matcherv3.Matcher_MatcherList_Predicate{
		MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: p},
	}
}

func customMatch(name string, m proto.Message) *matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch {
	return &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
		CustomMatch: &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: packed(m)},
	}
}
