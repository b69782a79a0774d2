-- Reviews that nobody's policy opens.
CREATE SCHEMA hr;

CREATE TABLE hr.reviews (
  employee STRING,
  note STRING
);

INSERT INTO hr.reviews (employee, note) VALUES
  ('Ximena Dragomir', 'note amber-falcon-4531: discussed in confidence'),
  ('Wanda Eriksson', 'note brisk-harbour-1580: discussed in confidence'),
  ('Vera Fitzwilliam', 'note candid-lantern-7808: discussed in confidence'),
  ('Umar Grigorescu', 'note daring-meadow-4545: discussed in confidence'),
  ('Tamsin Haverkamp', 'note earnest-orchard-4714: discussed in confidence'),
  ('Sven Ivanovich', 'note fluent-pebble-1778: discussed in confidence'),
  ('Rosa Jankowski', 'note gentle-quarry-5979: discussed in confidence'),
  ('Quentin Kowalczyk', 'note hearty-ribbon-9484: discussed in confidence'),
  ('Priya Lindqvist', NULL),
  ('Oskar Montgomery', 'note jovial-thicket-5256: discussed in confidence'),
  ('Nadia Nakagawa', 'note keen-umbrella-3987: discussed in confidence'),
  ('Mei Oyelaran', 'note lucid-valley-5313: discussed in confidence'),
  ('Lorenzo Papadakis', 'note mellow-willow-2298: discussed in confidence'),
  ('Katya Quennell', 'note nimble-yonder-3509: discussed in confidence'),
  ('Jamal Rasmussen', 'note orderly-zephyr-8018: discussed in confidence'),
  ('Ingrid Schellenberg', 'note patient-anchor-6005: discussed in confidence'),
  ('Hiro Thorvaldsen', 'note quiet-barley-3675: discussed in confidence'),
  ('Greta Underhill', 'note robust-cobalt-2660: discussed in confidence'),
  ('Farouk Vandermeer', 'note steady-dune-5102: discussed in confidence'),
  ('Elif Wolstenholme', 'note tactful-ember-4823: discussed in confidence'),
  ('Dmitri Yamamoto', 'note upbeat-fjord-1131: discussed in confidence'),
  ('Chiara Abernathy', 'note vivid-glacier-9287: discussed in confidence');
