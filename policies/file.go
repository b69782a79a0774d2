package policies

// Version is the only value of `version`.
const Version = "bqgate/v1"

// File is one policy file as it is written. policy.schema.json is made of it, for editors.
type File struct {
	Version   string                `yaml:"version" jsonschema:"required,enum=bqgate/v1" jsonschema_description:"Version of the policy language."`
	Groups    map[string]GroupEntry `yaml:"groups" jsonschema_description:"Who: groups of subjects by name."`
	Columns   []ColumnEntry         `yaml:"columns" jsonschema_description:"What is sensitive, said once of the data."`
	Tables    []TableEntry          `yaml:"tables" jsonschema_description:"What is said of whole tables."`
	Rules     []RuleEntry           `yaml:"rules" jsonschema_description:"What a group may read. What no rule allows is refused."`
	Approvals []ApprovalEntry       `yaml:"approvals" jsonschema_description:"What needs a person first. Every approval whose condition is true applies."`
}

// GroupEntry says who is in a group: subjects of one issuer for whom a condition is true.
type GroupEntry struct {
	Issuer string `yaml:"issuer" jsonschema_description:"Name of a configured issuer. May be left out only if exactly one is configured."`
	When   string `yaml:"when" jsonschema:"required" jsonschema_description:"CEL condition over claims, subject.sub, subject.issuer, subject.workload, subject.mapped and subject.people. Of a token that lacks such a claim, or has it as another type, nobody knows whether it is in the group: it gets nothing of the group and all its restrictions."`
}

// ColumnEntry says that columns are sensitive, or that they are known not to be.
type ColumnEntry struct {
	Match                  string `yaml:"match" jsonschema:"required" jsonschema_description:"project.dataset.table.column[.field…]; * stands for any text within one part. Covers everything below it."`
	Mask                   string `yaml:"mask" jsonschema:"enum=ALWAYS_NULL,enum=DEFAULT_MASKING_VALUE,enum=RANDOM_HASH,enum=SHA256,enum=DATE_YEAR_MASK,enum=EMAIL_MASK,enum=LAST_FOUR_CHARACTERS,enum=FIRST_FOUR_CHARACTERS" jsonschema_description:"BigQuery's predefined masking rule that hides the values."`
	OtherUse               string `yaml:"other_use" jsonschema:"enum=rewrite,enum=approve,enum=deny" jsonschema_description:"What happens to a query that uses the column other than by selecting it as it is. rewrite (the default): it computes on the masked value. approve: the same, once somebody has approved it. deny: it is refused."`
	ReversibleByDictionary string `yaml:"reversible_by_dictionary" jsonschema:"enum=accepted" jsonschema_description:"Needed for SHA256: whoever can guess the values can find them by hashing the guesses."`
	Clear                  bool   `yaml:"clear" jsonschema_description:"true: these columns are known not to be sensitive. A mask that matches too still wins."`
}

// TableEntry says things of whole tables.
type TableEntry struct {
	Match     string `yaml:"match" jsonschema:"required" jsonschema_description:"project.dataset.table; * stands for any text within one part."`
	HighValue bool   `yaml:"high_value" jsonschema_description:"Conditions of approvals see this as t.high_value."`
	Unlisted  string `yaml:"unlisted" jsonschema:"enum=mask,enum=clear" jsonschema_description:"Columns that no entry of columns matches. Default beside sensitive columns: mask (DEFAULT_MASKING_VALUE)."`
}

// RuleEntry lets groups read tables.
type RuleEntry struct {
	Name       string        `yaml:"name" jsonschema:"required" jsonschema_description:"Unique in all files. People see it in refusals."`
	Groups     []string      `yaml:"groups" jsonschema:"required,minItems=1" jsonschema_description:"Groups that the rule is for."`
	Read       []string      `yaml:"read" jsonschema:"required,minItems=1" jsonschema_description:"Tables: project.dataset.table; * stands for any text within one part."`
	Clear      []string      `yaml:"clear" jsonschema_description:"Exemptions: sensitive columns that these groups see unmasked."`
	RowAccess  []string      `yaml:"row_access_policies" jsonschema_description:"Tables with row access policies of BigQuery that the rule lets read all the same: everybody sees the rows that the account of the credential may see. A query of any other table that has some is refused."`
	JobsIn     []string      `yaml:"jobs_in" jsonschema:"minItems=1" jsonschema_description:"Projects in which the rule lets jobs run, and which pay for them. Default: the project that the credential's own account belongs to."`
	For        string        `yaml:"for" jsonschema_description:"How old the identity token may be (now - iat, and a minute for clocks) that the rule is used with, such as 1h: access under the rule ends then, also for sessions, held queries and results. Of several rules that cover what a query reads, the shortest counts."`
	MaxBytes   string        `yaml:"max_bytes" jsonschema_description:"Most that a query may read, such as 200GiB. The smallest wins."`
	MaxRows    int           `yaml:"max_rows" jsonschema:"minimum=1" jsonschema_description:"Most rows that the result of a query may have, over all its pages. The smallest wins."`
	MaxResult  string        `yaml:"max_result_bytes" jsonschema_description:"Most that may be read of the result of a query, such as 50MiB, over all answers together; a page that is read twice counts twice. The smallest wins."`
	Budget     BudgetEntries `yaml:"budget" jsonschema_description:"How much the groups may spend in an hour or a day, over all their queries: one budget or a list of them. All that apply count."`
	Labels     []string      `yaml:"labels" jsonschema:"minItems=1,enum=owner,enum=person,enum=group,enum=repository,enum=commit,enum=run,enum=rule,enum=request,enum=none" jsonschema_description:"Which labels bqgate puts on the jobs of the rule, as bqgate_NAME, for billing exports and INFORMATION_SCHEMA.JOBS. Default: owner, group, repository, commit, run, rule and request; person, the name of the human who asked, only where it is listed; [none] for none."`
	Credential string        `yaml:"credential" jsonschema_description:"Name of the configured credential to run with. Default: default."`
}

// ApprovalEntry holds queries until somebody approves them.
type ApprovalEntry struct {
	Name      string   `yaml:"name" jsonschema:"required" jsonschema_description:"Unique in all files. Reviewers see it."`
	When      string   `yaml:"when" jsonschema:"required" jsonschema_description:"CEL condition over tables (name, project, dataset, table, high_value), estimate.bytes, subject.*, groups, kinds and other_use (columns with other_use: approve that the query uses so), with KiB(n), MiB(n), GiB(n), TiB(n)."`
	Groups    []string `yaml:"groups" jsonschema_description:"Groups whose queries are held. Default: everybody's."`
	Reviewers []string `yaml:"reviewers" jsonschema:"minItems=1" jsonschema_description:"Groups, any member of which may decide, except on a request of their own. Either this, or all_of and any_of."`
	AllOf     []string `yaml:"all_of" jsonschema:"minItems=1" jsonschema_description:"Groups, each of which must approve through one of its members."`
	AnyOf     []string `yaml:"any_of" jsonschema:"minItems=1" jsonschema_description:"Groups, one member of one of which must approve, beside all_of."`
	Quorum    int      `yaml:"quorum" jsonschema:"minimum=1,maximum=10" jsonschema_description:"How many different people must approve. Default 1; with all_of one for each group, and one more for any_of: a lower number lets one person who is in several groups speak for each of them."`
	Expires   string   `yaml:"expires" jsonschema_description:"How long a request waits and, once approved, may be used. Default 1h."`
	Wait      string   `yaml:"wait" jsonschema:"enum=yes,enum=no" jsonschema_description:"no: the query is refused at once with the id of the request; once it is approved, the same query runs at the next try. Default yes: the job stays pending. A query label bqgate_wait=no asks for the same."`

	MaxAuthAge string `yaml:"max_auth_age" jsonschema_description:"A decision wants a reviewer who logged in at the identity provider within this time (auth_time of OpenID Connect), at least 1m. Default: however long ago."`

	Standing StandingEntry `yaml:"standing" jsonschema_description:"Lets reviewers approve this exact statement for several runs. Without it an approval is good for one run."`
}

// StandingEntry bounds approvals that are good for more than one run.
type StandingEntry struct {
	MaxUses  int `yaml:"max_uses" jsonschema:"required,minimum=2,maximum=1000" jsonschema_description:"Most runs that one approval may allow."`
	MaxHours int `yaml:"max_hours" jsonschema:"required,minimum=1,maximum=720" jsonschema_description:"Longest time that one approval may stand, in hours."`
}

// BudgetEntries are one budget, or a list of them.
type BudgetEntries []BudgetEntry

// BudgetEntry bounds what is spent in an hour or a day, of the calendar and in UTC.
type BudgetEntry struct {
	Bytes     string   `yaml:"bytes" jsonschema:"pattern=^[1-9][0-9]*(B|KiB|MiB|GiB|TiB)$" jsonschema_description:"Most bytes that BigQuery may bill, such as 2TiB. A query is sent only with what is left of them as its maximumBytesBilled."`
	Rows      int      `yaml:"rows" jsonschema:"minimum=1" jsonschema_description:"Most rows that may be returned. A row that is read again counts again."`
	Per       string   `yaml:"per" jsonschema:"required,enum=hour,enum=day" jsonschema_description:"hour or day, of the calendar and in UTC: the budget is free again when the next one begins."`
	By        string   `yaml:"by" jsonschema:"required,enum=owner,enum=group,enum=repository" jsonschema_description:"Who shares it. owner: the repository of a workload, or the person. group: all members of a group of the rule. repository: all tokens of one repository (repository_id of GitHub, project_id of GitLab). All of whom that is not known share one budget."`
	Over      string   `yaml:"over" jsonschema:"enum=refuse,enum=hold" jsonschema_description:"What becomes of a query that does not fit what is left: refuse (the default), or hold, which asks the reviewers."`
	Reviewers []string `yaml:"reviewers" jsonschema:"minItems=1" jsonschema_description:"With over: hold: groups, any member of which may let a query go beyond the budget."`
}

// UnmarshalYAML takes one budget for a list of one.
func (b *BudgetEntries) UnmarshalYAML(unmarshal func(any) error) error {
	var list []BudgetEntry
	if unmarshal(&list) == nil {
		*b = list
		return nil
	}
	var one BudgetEntry
	if err := unmarshal(&one); err != nil {
		return err
	}
	*b = BudgetEntries{one}
	return nil
}
