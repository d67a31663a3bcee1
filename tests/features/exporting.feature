Feature: Exporting
  The shop's software takes all orders at once, and goes on with what happens afterwards.

  Background:
    Given the shop has 9 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: An export has every order, as it is

    Scenario: An order that was paid
      Given she has paid
      When the accountant exports the orders
      Then the export has her order: PAID

  Rule: An export and the events after its position are everything

    Scenario: She pays after the export
      When the accountant exports the orders
      Then the export has her order: PENDING
      When she pays
      Then the accountant reads of her order: payment requested, stock reserved, paid

    Scenario: Somebody orders after the export
      When the accountant exports the orders
      And a customer orders and pays for 1 fountain pen
      Then the export does not have her order
      And the accountant reads of her order: placed, payment requested, stock reserved, paid
